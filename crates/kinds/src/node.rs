//! Node: what a kubelet registers.
use crate::{
    Kind, Strategy,
    column::{list, text, text_or},
    field::{self, Wrong},
};
use k8s_openapi::api::core::v1::{Node, NodeSpec};
use knarr_machinery::{FieldError, names};
use serde_json::Value;
use std::collections::BTreeSet;

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";
const TAINT_EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

#[derive(Clone)]
pub(crate) struct Nodes;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column()
        .column("Status", "string", |node, _| status(node).into())
        .column("Roles", "string", |node, _| roles(node).into())
        .age_column()
        .text_column("Version", "/status/nodeInfo/kubeletVersion", "")
        .wide("Internal-IP", "string", |node, _| address(node, "InternalIP").into())
        .wide("External-IP", "string", |node, _| address(node, "ExternalIP").into())
        .wide("OS-Image", "string", |node, _| text_or(node, "/status/nodeInfo/osImage", "<unknown>").into())
        .wide("Kernel-Version", "string", |node, _| text_or(node, "/status/nodeInfo/kernelVersion", "<unknown>").into())
        .wide("Container-Runtime", "string", |node, _| text_or(node, "/status/nodeInfo/containerRuntimeVersion", "<unknown>").into())
}

fn status(node: &Value) -> String {
    let ready = list(node, "/status/conditions").iter().find(|condition| condition["type"] == "Ready");
    let word = match ready {
        Some(condition) if condition["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) { format!("{word},SchedulingDisabled") } else { word.into() }
}

fn roles(node: &Value) -> String {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let roles: BTreeSet<_> = labels
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => Some(role),
            None => value.as_str().filter(|_| key == ROLE_LABEL),
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() { "<none>".into() } else { roles.into_iter().collect::<Vec<_>>().join(",") }
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let found = list(node, "/status/addresses").iter().find(|address| address["type"] == kind);
    found.map_or("<none>", |address| text(address, "/address"))
}

impl Strategy for Nodes {
    type Object = Node;

    fn default(&self, new: &mut Node) {
        let status = new.status.get_or_insert_default();
        status.node_info.get_or_insert_default();
        status.daemon_endpoints.get_or_insert_default().kubelet_endpoint.get_or_insert_default();
        new.spec.get_or_insert_default();
    }

    fn check(&self, new: &Node, old: Option<&Node>) -> Vec<FieldError> {
        let mut wrong = vec![];
        let Some(spec) = &new.spec else { return wrong };
        check_taints(spec, &mut wrong);
        if let Some(old) = old.and_then(|old| old.spec.as_ref()) {
            check_kept(spec, old, &mut wrong);
        }
        wrong
    }
}

fn check_taints(spec: &NodeSpec, wrong: &mut Wrong) {
    let mut seen = BTreeSet::new();
    for (at, taint) in spec.taints.iter().flatten().enumerate() {
        let path = format!("metadata.taints[{at}]");
        field::named(wrong, &format!("{path}.key"), &taint.key, names::is_qualified_name);
        field::named(wrong, &format!("{path}.value"), field::text(&taint.value), names::is_label_value);
        if taint.effect.is_empty() {
            field::required(wrong, &format!("{path}.effect"));
        } else {
            field::one_of(wrong, &format!("{path}.effect"), &taint.effect, TAINT_EFFECTS);
        }
        if !seen.insert((&taint.key, &taint.effect)) {
            wrong.push(FieldError::duplicate(path, field::json(taint)));
        }
    }
}

/// A node keeps the addresses of its pods and the name that its cloud gave it.
fn check_kept(new: &NodeSpec, old: &NodeSpec, wrong: &mut Wrong) {
    let cidrs = |spec: &NodeSpec| spec.pod_cidrs.clone().unwrap_or_default();
    if !cidrs(old).is_empty() && cidrs(new) != cidrs(old) {
        wrong.push(FieldError::forbidden("spec.podCIDRs", "node updates may not change podCIDR except from \"\" to valid"));
    }
    if old.provider_id.as_ref().is_some_and(|id| !id.is_empty()) && new.provider_id != old.provider_id {
        wrong.push(FieldError::forbidden("spec.providerID", "node updates may not change providerID except from \"\" to valid"));
    }
}
