//! A pod's volumes: defaults and checks.
use super::{image_pull_policy, resources};
use crate::field::{self, Wrong, fill, text};
use k8s_openapi::{
    api::core::v1::{DownwardAPIVolumeFile, KeyToPath, ResourceFieldSelector, Volume, VolumeProjection},
    apimachinery::pkg::api::resource::Quantity as Written,
};
use knarr_machinery::{FieldError, names};
use serde_json::Value;
use std::collections::BTreeSet;

/// 0644.
const FILE_MODE: i32 = 420;
const TOKEN_SECONDS: i64 = 3600;
const TOKEN_SECONDS_MIN: i64 = 600;

pub(super) fn default(volume: &mut Volume) {
    if sources(volume).is_empty() {
        volume.empty_dir = Some(k8s_openapi::api::core::v1::EmptyDirVolumeSource::default());
    }
    if let Some(source) = &mut volume.config_map {
        source.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(source) = &mut volume.secret {
        source.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(source) = &mut volume.downward_api {
        source.default_mode.get_or_insert(FILE_MODE);
        source.items.iter_mut().flatten().for_each(default_downward);
    }
    if let Some(source) = &mut volume.projected {
        source.default_mode.get_or_insert(FILE_MODE);
        source.sources.iter_mut().flatten().for_each(default_projection);
    }
    if let Some(source) = &mut volume.host_path {
        source.type_.get_or_insert_default();
    }
    if let Some(source) = &mut volume.image {
        let policy = image_pull_policy(text(&source.reference));
        fill(&mut source.pull_policy, policy);
    }
    if let Some(template) = volume.ephemeral.as_mut().and_then(|source| source.volume_claim_template.as_mut()) {
        fill(&mut template.spec.volume_mode, "Filesystem");
    }
    default_network(volume);
}

fn default_network(volume: &mut Volume) {
    if let Some(source) = &mut volume.iscsi {
        fill(&mut source.iscsi_interface, "default");
    }
    if let Some(source) = &mut volume.rbd {
        fill(&mut source.pool, "rbd");
        fill(&mut source.user, "admin");
        fill(&mut source.keyring, "/etc/ceph/keyring");
    }
    if let Some(source) = &mut volume.azure_disk {
        fill(&mut source.caching_mode, "ReadWrite");
        fill(&mut source.kind, "Shared");
        fill(&mut source.fs_type, "ext4");
        source.read_only.get_or_insert(false);
    }
}

fn default_projection(projection: &mut VolumeProjection) {
    if let Some(token) = &mut projection.service_account_token {
        token.expiration_seconds.get_or_insert(TOKEN_SECONDS);
    }
    if let Some(downward) = &mut projection.downward_api {
        downward.items.iter_mut().flatten().for_each(default_downward);
    }
}

fn default_downward(file: &mut DownwardAPIVolumeFile) {
    if let Some(field) = &mut file.field_ref {
        fill(&mut field.api_version, "v1");
    }
    if let Some(resource) = &mut file.resource_field_ref {
        default_divisor(resource);
    }
}

pub(super) fn default_divisor(resource: &mut ResourceFieldSelector) {
    resource.divisor.get_or_insert_with(|| Written("0".into()));
}

/// The names of the sources that a volume gives; one is right.
fn sources(volume: &Volume) -> Vec<String> {
    let Value::Object(fields) = field::json(volume) else { return vec![] };
    fields.into_iter().filter(|(key, value)| key != "name" && !value.is_null()).map(|(key, _)| key).collect()
}

/// Answers with the names of the volumes that containers may mount.
pub(super) fn check_all<'a>(volumes: &'a [Volume], path: &str, wrong: &mut Wrong) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    for (at, volume) in volumes.iter().enumerate() {
        let path = format!("{path}[{at}]");
        check_source(volume, &path, wrong);
        let before = wrong.len();
        field::named_and_there(wrong, &format!("{path}.name"), &volume.name, names::is_dns_label);
        if wrong.len() == before && !seen.insert(&*volume.name) {
            wrong.push(FieldError::duplicate(format!("{path}.name"), &*volume.name));
        }
    }
    seen
}

fn check_source(volume: &Volume, path: &str, wrong: &mut Wrong) {
    let sources = sources(volume);
    for extra in sources.iter().skip(1) {
        wrong.push(FieldError::forbidden(format!("{path}.{extra}"), "may not specify more than 1 volume type"));
    }
    if sources.len() > 1 {
        return;
    }
    if let Some(size) = volume.empty_dir.as_ref().and_then(|source| source.size_limit.as_ref())
        && resources::amount(size).is_none_or(|size| size.is_negative())
    {
        wrong.push(FieldError::forbidden(format!("{path}.emptyDir.sizeLimit"), "SizeLimit field must be a valid resource quantity"));
    }
    if let Some(source) = &volume.host_path {
        let path = format!("{path}.hostPath.path");
        if source.path.is_empty() { field::required(wrong, &path) } else { field::no_backsteps(wrong, &path, &source.path) }
    }
    if let Some(source) = &volume.config_map {
        let path = format!("{path}.configMap");
        if source.name.is_empty() {
            field::required(wrong, &format!("{path}.name"));
        }
        check_mode(source.default_mode, &format!("{path}.defaultMode"), wrong);
        check_items(source.items.as_ref(), &path, wrong);
    }
    if let Some(source) = &volume.secret {
        let path = format!("{path}.secret");
        if text(&source.secret_name).is_empty() {
            field::required(wrong, &format!("{path}.secretName"));
        }
        check_mode(source.default_mode, &format!("{path}.defaultMode"), wrong);
        check_items(source.items.as_ref(), &path, wrong);
    }
    if let Some(source) = &volume.downward_api {
        let path = format!("{path}.downwardAPI");
        check_mode(source.default_mode, &format!("{path}.defaultMode"), wrong);
        source.items.iter().flatten().for_each(|file| check_downward(file, &path, wrong));
    }
    if let Some(source) = &volume.projected {
        for (at, projection) in source.sources.iter().flatten().enumerate() {
            check_projection(projection, &format!("{path}.projected.sources[{at}]"), wrong);
        }
    }
    if volume.persistent_volume_claim.as_ref().is_some_and(|source| source.claim_name.is_empty()) {
        field::required(wrong, &format!("{path}.persistentVolumeClaim.claimName"));
    }
}

fn check_items(items: Option<&Vec<KeyToPath>>, path: &str, wrong: &mut Wrong) {
    for (at, item) in items.into_iter().flatten().enumerate() {
        let path = format!("{path}.items[{at}]");
        if item.key.is_empty() {
            field::required(wrong, &format!("{path}.key"));
        }
        check_file(&item.path, &format!("{path}.path"), wrong);
        check_mode(item.mode, &format!("{path}.mode"), wrong);
    }
}

fn check_file(file: &str, path: &str, wrong: &mut Wrong) {
    if file.is_empty() { field::required(wrong, path) } else { field::inner_path(wrong, path, file) }
}

fn check_mode(mode: Option<i32>, path: &str, wrong: &mut Wrong) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
        wrong.push(FieldError::invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive"));
    }
}

fn check_downward(file: &DownwardAPIVolumeFile, path: &str, wrong: &mut Wrong) {
    check_file(&file.path, &format!("{path}.path"), wrong);
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(_), Some(_)) => {
            wrong.push(FieldError::invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
        }
        (None, None) => wrong.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required")),
        _ => {}
    }
    check_mode(file.mode, &format!("{path}.mode"), wrong);
}

fn check_projection(projection: &VolumeProjection, path: &str, wrong: &mut Wrong) {
    if let Some(token) = &projection.service_account_token {
        let path = format!("{path}.serviceAccountToken");
        let seconds = token.expiration_seconds.unwrap_or(TOKEN_SECONDS);
        if seconds < TOKEN_SECONDS_MIN {
            wrong.push(FieldError::invalid(
                format!("{path}.expirationSeconds"),
                seconds,
                "may not specify a duration less than 10 minutes",
            ));
        }
        check_file(&token.path, &format!("{path}.path"), wrong);
    }
    for (part, name, items) in [
        (
            "configMap",
            projection.config_map.as_ref().map(|source| &source.name),
            projection.config_map.as_ref().and_then(|s| s.items.as_ref()),
        ),
        ("secret", projection.secret.as_ref().map(|source| &source.name), projection.secret.as_ref().and_then(|s| s.items.as_ref())),
    ] {
        let path = format!("{path}.{part}");
        if name.is_some_and(String::is_empty) {
            field::required(wrong, &format!("{path}.name"));
        }
        check_items(items, &path, wrong);
    }
    if let Some(downward) = &projection.downward_api {
        downward.items.iter().flatten().for_each(|file| check_downward(file, &format!("{path}.downwardAPI"), wrong));
    }
}
