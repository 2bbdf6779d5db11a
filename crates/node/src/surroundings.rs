//! What a container's environment and volumes are made from, beside the pod itself. Gathered once, then read by pure functions.
use crate::pod::{FieldRef, Pod, ResourceFieldRef};
use base64::Engine as _;
use knarr_cluster::views;
use knarr_machinery::Quantity;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// What a pod refers to, as far as it is there.
#[derive(Clone, Default)]
pub struct Surroundings {
    pub config_maps: BTreeMap<String, Arc<views::ConfigMap>>,
    pub secrets: BTreeMap<String, Arc<views::Secret>>,
    /// Of the pod's namespace.
    pub services: Vec<Arc<views::Service>>,
    /// `default/kubernetes`: every pod finds the API.
    pub api: Option<Arc<views::Service>>,
    pub node: NodeFacts,
    pub pod_address: Option<IpAddr>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NodeFacts {
    pub name: String,
    pub address: IpAddr,
    /// What a container without a limit of its own may use at most.
    pub cpu_millis: i64,
    pub memory_bytes: i64,
    pub ephemeral_storage_bytes: i64,
}

impl Default for NodeFacts {
    fn default() -> Self {
        let address = IpAddr::from([127, 0, 0, 1]);
        Self { name: String::new(), address, cpu_millis: 0, memory_bytes: 0, ephemeral_storage_bytes: 0 }
    }
}

/// The names of the ConfigMaps and Secrets that a pod refers to.
#[derive(Debug, Default, PartialEq)]
pub struct References {
    pub config_maps: BTreeSet<String>,
    pub secrets: BTreeSet<String>,
}

/// What stands in the way of a container, in the words that its status and its event say. Tried again when something changes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Missing {
    #[error("configmap {0:?} not found")]
    ConfigMap(String),
    #[error("secret {0:?} not found")]
    Secret(String),
    #[error("couldn't find key {key} in {kind} {object}")]
    Key { key: String, kind: &'static str, object: String },
    #[error("{0}")]
    Field(String),
}

/// The data of a ConfigMap or a Secret by key.
pub type Data = BTreeMap<String, Vec<u8>>;

impl References {
    pub fn of(pod: &Pod) -> Self {
        let mut found = Self::default();
        for container in pod.containers() {
            for source in &container.env_from {
                found.config_maps.extend(source.config_map_ref.iter().map(|object| object.name.clone()));
                found.secrets.extend(source.secret_ref.iter().map(|object| object.name.clone()));
            }
            for from in container.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
                found.config_maps.extend(from.config_map_key_ref.iter().map(|key| key.name.clone()));
                found.secrets.extend(from.secret_key_ref.iter().map(|key| key.name.clone()));
            }
        }
        for volume in &pod.spec.volumes {
            let projected = volume.source.projected.iter().flat_map(|projected| &projected.sources);
            found.config_maps.extend(volume.source.config_map.iter().map(|source| source.name.clone()));
            found.secrets.extend(volume.source.secret.iter().map(|source| source.secret_name.clone()));
            for source in projected {
                found.config_maps.extend(source.config_map.iter().map(|source| source.name.clone()));
                found.secrets.extend(source.secret.iter().map(|source| source.name.clone()));
            }
        }
        found
    }
}

impl Surroundings {
    /// None: it is not there and need not be.
    pub fn config_map(&self, name: &str, optional: bool) -> Result<Option<Data>, Missing> {
        match self.config_maps.get(name) {
            Some(found) => {
                let text = found.data.iter().map(|(key, value)| (key.to_string(), value.as_bytes().to_vec()));
                Ok(Some(text.chain(decode(&found.binary_data)).collect()))
            }
            None if optional => Ok(None),
            None => Err(Missing::ConfigMap(name.into())),
        }
    }

    pub fn secret(&self, name: &str, optional: bool) -> Result<Option<Data>, Missing> {
        match self.secrets.get(name) {
            Some(found) => Ok(Some(decode(&found.data).collect())),
            None if optional => Ok(None),
            None => Err(Missing::Secret(name.into())),
        }
    }

    /// One field of the pod, as the downward API gives it.
    pub fn field(&self, pod: &Pod, field: &FieldRef) -> Result<String, Missing> {
        let meta = &pod.metadata;
        let path = field.field_path.as_str();
        let address = |address: Option<IpAddr>| address.map(|address| address.to_string()).unwrap_or_default();
        if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
            return match map {
                "metadata.labels" => Ok(meta.labels.get(key).map(ToString::to_string).unwrap_or_default()),
                "metadata.annotations" => Ok(meta.annotations.get(key).map(ToString::to_string).unwrap_or_default()),
                _ => Err(Missing::Field(format!("unsupported fieldPath: {path}"))),
            };
        }
        Ok(match path {
            "metadata.name" => meta.name.to_string(),
            "metadata.namespace" => meta.namespace.to_string(),
            "metadata.uid" => meta.uid.to_string(),
            "metadata.labels" => lines(&meta.labels),
            "metadata.annotations" => lines(&meta.annotations),
            "spec.nodeName" => self.node.name.clone(),
            "spec.serviceAccountName" => pod.spec.service_account_name.to_string(),
            "status.podIP" | "status.podIPs" => address(self.pod_address),
            "status.hostIP" | "status.hostIPs" => address(Some(self.node.address)),
            _ => return Err(Missing::Field(format!("unsupported fieldPath: {path}"))),
        })
    }

    /// A resource of a container in units of the divisor, rounded up. Without a limit: what the node has.
    pub fn resource(&self, pod: &Pod, own: Option<&str>, field: &ResourceFieldRef) -> Result<String, Missing> {
        let wrong = || Missing::Field(format!("unsupported container resource : {}", field.resource));
        let name = if field.container_name.is_empty() { own } else { Some(field.container_name.as_str()) };
        let container = pod.containers().find(|container| Some(&*container.name) == name).ok_or_else(wrong)?;
        let (list, resource) = field.resource.split_once('.').ok_or_else(wrong)?;
        let limits = &container.resources.limits;
        let said = match list {
            "limits" => limits.get(resource),
            "requests" => container.resources.requests.get(resource),
            _ => return Err(wrong()),
        };
        let milli = match (said, list, resource) {
            (Some(text), ..) => Quantity::parse(text).map_err(|_| wrong())?.milli(),
            (None, "limits", "cpu") => self.node.cpu_millis,
            (None, "limits", "memory") => self.node.memory_bytes.saturating_mul(1000),
            (None, "limits", "ephemeral-storage") => self.node.ephemeral_storage_bytes.saturating_mul(1000),
            (None, ..) => 0,
        };
        let divisor = field.divisor.as_deref().filter(|divisor| *divisor != "0").unwrap_or("1");
        let divisor = Quantity::parse(divisor).map_err(|_| wrong())?.milli().max(1);
        Ok((milli / divisor + i64::from(milli % divisor > 0)).to_string())
    }
}

/// What is not base64 cannot be in the API; it is left out.
fn decode(data: &BTreeMap<Box<str>, Box<str>>) -> impl Iterator<Item = (String, Vec<u8>)> {
    let decoder = base64::engine::general_purpose::STANDARD;
    data.iter().filter_map(move |(key, value)| Some((key.to_string(), decoder.decode(value.as_bytes()).ok()?)))
}

/// Labels as a downward file has them: `key="value"`, sorted, one a line.
fn lines(map: &BTreeMap<Box<str>, Box<str>>) -> String {
    map.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
}
