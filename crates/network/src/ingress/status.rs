//! Says in each Ingress where it answers: `status.loadBalancer.ingress`. Several nodes with an Ingress each add their own address.
use bytes::Bytes;
use knarr_cluster::{Cluster, Identity, Options, PatchType, Target, Verb, View, Write, views::Ingress};
use knarr_machinery::Key;
use serde_json::json;
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::timeout};

/// The writer's name among controllers.
const IDENTITY: &str = "ingress-controller";
/// Statuses written at one go; the rest comes with the next look, which these writes bring about.
const AT_ONCE: usize = 64;
/// A front door that takes longer is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Statuses {
    cluster: Cluster,
    address: IpAddr,
    writing: Option<JoinHandle<()>>,
}

impl Statuses {
    pub fn new(cluster: Cluster, address: IpAddr) -> Self {
        Self { cluster, address, writing: None }
    }

    /// Writes what is missing, in the background, one batch at a time.
    pub fn follow(&mut self, ingresses: &[Arc<Ingress>]) {
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        let missing = missing(ingresses, self.address);
        if missing.is_empty() {
            return;
        }
        let cluster = self.cluster.clone();
        self.writing = Some(tokio::spawn(async move {
            for (key, body) in missing {
                write(&cluster, key, body).await;
            }
        }));
    }
}

impl Drop for Statuses {
    fn drop(&mut self) {
        if let Some(writing) = &self.writing {
            writing.abort();
        }
    }
}

/// Which Ingresses do not say that they answer at `address`, and what to patch. Pure.
fn missing(ingresses: &[Arc<Ingress>], address: IpAddr) -> Vec<(Key, Bytes)> {
    let own = address.to_string();
    let lacking = ingresses.iter().filter(|ingress| !addresses(ingress).any(|there| there == own));
    lacking
        .take(AT_ONCE)
        .map(|ingress| {
            let all: Vec<_> = addresses(ingress).chain([&*own]).map(|ip| json!({"ip": ip})).collect();
            (ingress.metadata.key(), Bytes::from(json!({"status": {"loadBalancer": {"ingress": all}}}).to_string()))
        })
        .collect()
}

fn addresses(ingress: &Ingress) -> impl Iterator<Item = &str> {
    ingress.status.load_balancer.ingress.iter().filter_map(|entry| entry.ip.as_deref())
}

async fn write(cluster: &Cluster, key: Key, body: Bytes) {
    let target = Target { resource: Ingress::resource(), version: None, key: key.clone(), subresource: Some("status".into()) };
    let write = Write { verb: Verb::Patch(PatchType::Merge), target, body, options: Options::default() };
    match timeout(PATIENCE, cluster.door.submit(&Identity::controller(IDENTITY), write)).await {
        Ok(Ok(_)) => tracing::debug!(ingress = %key, "wrote where an Ingress answers"),
        Ok(Err(error)) => tracing::warn!(ingress = %key, %error, "cannot write where an Ingress answers"),
        Err(_) => tracing::warn!(ingress = %key, "writing where an Ingress answers takes too long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_its_address_where_it_is_missing() {
        for (there, expected) in [
            (json!(null), Some(json!([{"ip": "192.0.2.2"}]))),
            (json!([{"ip": "192.0.2.2"}]), None),
            (json!([{"ip": "192.0.2.3"}]), Some(json!([{"ip": "192.0.2.3"}, {"ip": "192.0.2.2"}]))),
            (json!([{"ip": "192.0.2.3"}, {"ip": "192.0.2.2"}]), None),
        ] {
            let status = json!({"loadBalancer": {"ingress": there}});
            let object = json!({"metadata": {"namespace": "n", "name": "i"}, "spec": {}, "status": status});
            let ingress: Ingress = serde_json::from_value(object).unwrap();
            let written = missing(&[Arc::new(ingress)], "192.0.2.2".parse().unwrap());
            let said = written
                .first()
                .map(|(_, body)| serde_json::from_slice::<serde_json::Value>(body).unwrap()["status"]["loadBalancer"]["ingress"].clone());
            assert_eq!(said, expected, "{there}");
        }
    }
}
