//! Tells people what happens to pods and to the node, as the kubelet's events do.
use crate::pod::Pod;
use knarr_cluster::{ObjectRef, Recorder, Type};

pub struct Teller {
    recorder: Recorder,
    node: String,
}

impl Teller {
    pub fn new(recorder: Recorder, node: &str) -> Self {
        Self { recorder, node: node.into() }
    }

    /// Something went its way, in one container or in the pod as a whole.
    pub fn note(&self, pod: &Pod, container: Option<usize>, reason: &str, message: String) {
        self.recorder.event(&about(pod, container), Type::Normal, reason, &message);
    }

    pub fn warn(&self, pod: &Pod, container: Option<usize>, reason: &str, message: String) {
        self.recorder.event(&about(pod, container), Type::Warning, reason, &message);
    }

    pub fn node(&self, reason: &str, message: &str) {
        let name: Box<str> = self.node.as_str().into();
        let (api_version, kind, uid) = ("v1".into(), "Node".into(), name.clone());
        let about = ObjectRef { api_version, kind, name, uid, ..ObjectRef::default() };
        self.recorder.event(&about, Type::Normal, reason, message);
    }
}

fn about(pod: &Pod, container: Option<usize>) -> ObjectRef {
    let field_path = container.and_then(|index| {
        let list = if pod.is_init(index) { "initContainers" } else { "containers" };
        Some(format!("spec.{list}{{{}}}", pod.container(index)?.name))
    });
    let meta = &pod.metadata;
    ObjectRef {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        field_path: field_path.unwrap_or_default().into(),
    }
}
