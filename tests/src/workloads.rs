//! Workloads that tests put into a cluster, and how they look at them.
use crate::{Started, eventually};
use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, Pod, Service},
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

impl Started {
    /// Takes a Wasm file into the node's images, and gives the name that pods call it by.
    pub async fn import(&self, name: &str, wasm: &[u8]) -> anyhow::Result<String> {
        let file = self.node.data.join(format!("{name}.wasm"));
        tokio::fs::write(&file, wasm).await?;
        let image = format!("localhost/{name}:v1");
        let (code, _, said) = self.knarr(&["image", "import", &file.to_string_lossy(), "--name", &image]).await?;
        ensure!(code == 0, "image import: {said}");
        Ok(image)
    }

    pub async fn namespaced<K>(&self, namespace: &str) -> anyhow::Result<Api<K>>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Ok(Api::namespaced(self.client().await?, namespace))
    }

    pub async fn create<K>(&self, namespace: &str, object: Value) -> anyhow::Result<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
        K::DynamicType: Default,
    {
        Ok(self.namespaced::<K>(namespace).await?.create(&PostParams::default(), &serde_json::from_value(object)?).await?)
    }

    /// A namespace in which pods can be made.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let all: Api<Namespace> = Api::all(self.client().await?);
        all.create(&PostParams::default(), &serde_json::from_value(json!({"metadata": {"name": name}}))?).await?;
        Ok(())
    }

    /// A Deployment of a Wasm web server with a Service `name`, all its pods Ready.
    pub async fn serve(&self, namespace: &str, name: &str, image: &str, replicas: usize) -> anyhow::Result<Vec<Pod>> {
        let _: Deployment = self.create(namespace, deployment(name, image, replicas)).await?;
        let _: Service = self.create(namespace, service(name)).await?;
        self.ready(namespace, name, replicas).await
    }

    /// Waits until so many pods of an app are Ready, and no others are left.
    pub async fn ready(&self, namespace: &str, app: &str, replicas: usize) -> anyhow::Result<Vec<Pod>> {
        let pods = self.namespaced::<Pod>(namespace).await?;
        let params = ListParams::default().labels(&format!("app={app}"));
        eventually(&format!("{replicas} Ready pods of {app}"), async || {
            let all = pods.list(&params).await?.items;
            let ready = all.iter().filter(|pod| is_ready(pod)).count();
            if ready == replicas && all.len() == replicas {
                Ok(all)
            } else {
                bail!("{ready} of {} are Ready: {:?}", all.len(), all.iter().map(said).collect::<Vec<_>>())
            }
        })
        .await
    }

    /// A pod as it is once `wanted` is true of it.
    pub async fn pod_when(&self, namespace: &str, name: &str, what: &str, wanted: impl Fn(&Pod) -> bool) -> anyhow::Result<Pod> {
        let pods = self.namespaced::<Pod>(namespace).await?;
        eventually(what, async || {
            let pod = pods.get(name).await?;
            if wanted(&pod) { Ok(pod) } else { bail!("{}", said(&pod)) }
        })
        .await
    }

    pub async fn config_map(&self, name: &str, data: &str) -> anyhow::Result<ConfigMap> {
        self.create("default", json!({"metadata": {"name": name}, "data": {"value": data}})).await
    }
}

pub fn deployment(name: &str, image: &str, replicas: usize) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": image, "ports": [{"containerPort": 8080}]}]}}}})
}

pub fn service(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}})
}

/// Everything under `/` of any host, to one Service.
pub fn ingress(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix",
        "backend": {"service": {"name": name, "port": {"number": 80}}}}]}}]}})
}

/// A pod that runs once.
pub fn once(name: &str, image: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}})
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    pod.metadata.deletion_timestamp.is_none() && conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

pub fn restarts(pod: &Pod) -> i32 {
    pod.status.iter().filter_map(|status| status.container_statuses.as_ref()).flatten().map(|c| c.restart_count).sum()
}

pub fn address(pod: &Pod) -> anyhow::Result<String> {
    pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("the pod has no address yet")
}

/// The reason that a pod's first container waits for.
pub fn waiting(pod: &Pod) -> String {
    let first = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref()?.first());
    first.and_then(|c| c.state.as_ref()?.waiting.as_ref()?.reason.clone()).unwrap_or_default()
}

/// How a pod's first container ended, now or before its restart: exit code, reason, message.
pub fn ended(pod: &Pod) -> Option<(i32, String, String)> {
    let first = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    let states = [first.state.as_ref(), first.last_state.as_ref()];
    let ended = states.into_iter().flatten().find_map(|state| state.terminated.as_ref())?;
    Some((ended.exit_code, ended.reason.clone().unwrap_or_default(), ended.message.clone().unwrap_or_default()))
}

fn said(pod: &Pod) -> String {
    let phase = pod.status.as_ref().and_then(|s| s.phase.clone()).unwrap_or_default();
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.clone()).unwrap_or_default();
    format!("{} {phase} {}", pod.metadata.name.as_deref().unwrap_or_default(), serde_json::to_string(&statuses).unwrap_or_default())
}
