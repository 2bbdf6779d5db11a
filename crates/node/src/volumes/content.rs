//! What is in a volume. Pure.
use super::Error;
use crate::{
    pod::{ConfigSource, DownwardFile, DownwardSource, KeyToPath, Pod, Projection, Volume},
    surroundings::{Data, Missing, Surroundings},
};

const DEFAULT_MODE: u32 = 0o644;

#[derive(Debug, PartialEq)]
pub enum Content {
    /// A folder that the pod writes.
    Empty,
    /// Files that it only reads.
    Files(Vec<File>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// Relative, without `..`.
    pub path: String,
    pub mode: u32,
    pub bytes: Vec<u8>,
}

pub fn contents(pod: &Pod, volume: &Volume, around: &Surroundings) -> Result<Content, Error> {
    let source = &volume.source;
    let missing = |source| Error::Missing { volume: volume.name.clone(), source };
    if let Some(kind) = source.other.keys().next() {
        return Err(Error::Unsupported { volume: volume.name.clone(), kind: kind.clone() });
    }
    if let Some(config_map) = &source.config_map {
        return config_files(config_map, Kind::ConfigMap, None, pod, around).map(Content::Files).map_err(missing);
    }
    if let Some(secret) = &source.secret {
        return config_files(secret, Kind::Secret, None, pod, around).map(Content::Files).map_err(missing);
    }
    if let Some(downward) = &source.downward_api {
        return downward_files(downward, None, pod, around).map(Content::Files).map_err(missing);
    }
    if let Some(projected) = &source.projected {
        let mut files = Vec::new();
        for projection in &projected.sources {
            files.extend(projected_files(projection, projected.default_mode, pod, around).map_err(missing)?);
        }
        return Ok(Content::Files(files));
    }
    Ok(Content::Empty)
}

#[derive(Clone, Copy)]
enum Kind {
    ConfigMap,
    Secret,
}

fn projected_files(source: &Projection, mode: Option<u32>, pod: &Pod, around: &Surroundings) -> Result<Vec<File>, Missing> {
    if let Some(config_map) = &source.config_map {
        return config_files(config_map, Kind::ConfigMap, mode, pod, around);
    }
    if let Some(secret) = &source.secret {
        return config_files(secret, Kind::Secret, mode, pod, around);
    }
    if let Some(downward) = &source.downward_api {
        return downward_files(downward, mode, pod, around);
    }
    if source.service_account_token.is_some() {
        // Tokens come with issue 4; until then a pod has none, as with automountServiceAccountToken: false.
        tracing::debug!(pod = %pod.metadata.key(), "service account tokens are not projected");
    }
    Ok(vec![])
}

fn config_files(source: &ConfigSource, kind: Kind, mode: Option<u32>, pod: &Pod, around: &Surroundings) -> Result<Vec<File>, Missing> {
    let name = if source.secret_name.is_empty() { &source.name } else { &source.secret_name };
    let (data, kind) = match kind {
        Kind::ConfigMap => (around.config_map(name, source.optional)?, "ConfigMap"),
        Kind::Secret => (around.secret(name, source.optional)?, "Secret"),
    };
    let mode = mode.or(source.default_mode).unwrap_or(DEFAULT_MODE);
    let Some(data) = data else { return Ok(vec![]) };
    if source.items.is_empty() {
        return Ok(data.into_iter().map(|(path, bytes)| File { path, mode, bytes }).collect());
    }
    let object = format!("{}/{name}", pod.metadata.namespace);
    let picked = source.items.iter().filter_map(|item| pick(item, &data, mode, source.optional, kind, &object).transpose());
    picked.collect()
}

fn pick(item: &KeyToPath, data: &Data, mode: u32, optional: bool, kind: &'static str, object: &str) -> Result<Option<File>, Missing> {
    match data.get(&item.key) {
        Some(bytes) => Ok(Some(File { path: item.path.clone(), mode: item.mode.unwrap_or(mode), bytes: bytes.clone() })),
        None if optional => Ok(None),
        None => Err(Missing::Key { key: item.key.clone(), kind, object: object.into() }),
    }
}

fn downward_files(source: &DownwardSource, mode: Option<u32>, pod: &Pod, around: &Surroundings) -> Result<Vec<File>, Missing> {
    let mode = mode.or(source.default_mode).unwrap_or(DEFAULT_MODE);
    let file = |item: &DownwardFile| {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => around.field(pod, field)?,
            (None, Some(resource)) => around.resource(pod, None, resource)?,
            (None, None) => String::new(),
        };
        Ok(File { path: item.path.clone(), mode: item.mode.unwrap_or(mode), bytes: text.into_bytes() })
    };
    source.items.iter().map(file).collect()
}
