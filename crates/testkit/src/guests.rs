//! What happens to guests, whoever's node they run on.
use crate::{Cluster, Node, address};
use knarr_cluster::views;
use knarr_runtime::ContainerId;
use std::sync::Arc;

impl Cluster {
    /// The containers of a pod (`web-1`, or `shop/web-1`) that run.
    pub async fn running(&self, pod: &str) -> Vec<ContainerId> {
        let (node, pod) = self.place_of(pod);
        node.running(&pod.metadata.uid).await
    }

    /// Ends the running containers of a pod, as an exit of the guest does.
    pub async fn crash(&self, pod: &str, code: i32) {
        self.end(pod, code, if code == 0 { "Completed" } else { "Error" }, "").await;
    }

    /// The same with a reason and a message, as a trap or a limit gives them.
    pub async fn end(&self, pod: &str, code: i32, reason: &str, message: &str) {
        let (node, pod) = self.place_of(pod);
        let running = node.running(&pod.metadata.uid).await;
        assert!(!running.is_empty(), "nothing of {} runs\n{}", pod.metadata.name, self.show());
        for id in running {
            node.runtime.exit(&id, code, reason, message);
        }
    }

    fn place_of(&self, pod: &str) -> (&Node, Arc<views::Pod>) {
        let (_, key) = address::object(self.kinds(), &format!("pods/{pod}"));
        let pod = self.parts().shelf.view::<views::Pod>(&key).unwrap_or_else(|| panic!("there is no pod {key}\n{}", self.show()));
        let node = pod.spec.node_name.as_deref().unwrap_or_else(|| panic!("{key} is bound to no node\n{}", self.show()));
        (self.node(node), pod)
    }
}
