//! The objects that scripts begin with.
use knarr_cluster::views;
use knarr_testkit::Cluster;

/// A Deployment `web`.
pub fn deployment(replicas: u32, image: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 1}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers: [{{name: web, image: '{image}', ports: [{{containerPort: 8080}}]}}]
"
    )
}

/// A pod with one container `web`; `more` are further fields of its spec, in YAML's flow style.
pub fn pod(name: &str, image: &str, more: &str) -> String {
    pod_with(name, &format!("name: web, image: '{image}'"), more)
}

/// The same with the fields of the container.
pub fn pod_with(name: &str, container: &str, more: &str) -> String {
    let comma = if more.is_empty() { "" } else { ", " };
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web}}}}
spec: {{containers: [{{{container}}}]{comma}{more}}}
"
    )
}

/// A Service `web` over all pods of that label.
pub const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
";

/// The pods of `web` that serve: ready and not on their way out.
pub fn available(pods: &[std::sync::Arc<views::Pod>]) -> usize {
    pods.iter().filter(|pod| pod.is_ready() && !pod.metadata.is_deleting()).count()
}

/// A Deployment `web` whose replicas are all available.
pub async fn web(cluster: &Cluster, replicas: u32, image: &str) {
    cluster.apply(&deployment(replicas, image)).await;
    cluster.until_is("deployments/web", "/status/availableReplicas", replicas).await;
}

/// The only pod of the namespace `default`.
pub fn only_pod(cluster: &Cluster) -> String {
    let pods = cluster.views::<views::Pod>();
    assert_eq!(pods.len(), 1, "{}", cluster.show());
    pods[0].metadata.name.to_string()
}
