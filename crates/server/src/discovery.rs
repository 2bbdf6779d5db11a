//! What there is: groups, versions and resources, in the old form and the new. Pure; all of it follows from the table.
use knarr_kinds::{Kind, Sub, Table};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, sync::Arc};

/// Subresources that this server answers. A row may name more, for the days to come.
const SERVED: &[Sub] = &[Sub::Binding, Sub::Eviction, Sub::Finalize, Sub::Log, Sub::Scale, Sub::Status];
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The verbs of a row's main resource.
pub fn verbs(kind: &Kind) -> Vec<&'static str> {
    if kind.ephemeral {
        return vec!["create"];
    }
    // What holds others goes one by one.
    VERBS.iter().copied().filter(|verb| *verb != "deletecollection" || !kind.has(Sub::Finalize)).collect()
}

/// How a subresource is spoken to: its verbs, and the kind of its body where that is another.
struct Spoken {
    sub: Sub,
    verbs: &'static [&'static str],
    kind: Option<(&'static str, &'static str, &'static str)>,
}

fn subresources(kind: &Kind) -> Vec<Spoken> {
    let mut subs: Vec<_> = SERVED.iter().copied().filter(|sub| kind.has(*sub)).collect();
    subs.sort_by_key(|sub| sub.path());
    subs.into_iter()
        .map(|sub| {
            let (verbs, kind): (&[&str], _) = match sub {
                Sub::Binding => (&["create"], Some(("", "v1", "Binding"))),
                Sub::Eviction => (&["create"], Some(("policy", "v1", "Eviction"))),
                Sub::Scale => (&["get", "patch", "update"], Some(("autoscaling", "v1", "Scale"))),
                Sub::Log => (&["get"], None),
                Sub::Finalize => (&["update"], None),
                _ => (&["get", "patch", "update"], None),
            };
            Spoken { sub, verbs, kind }
        })
        .collect()
}

/// Rows by group and version, each sorted by plural.
fn groups(kinds: &Table) -> BTreeMap<&str, BTreeMap<&str, Vec<&Arc<Kind>>>> {
    let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<&Arc<Kind>>>> = BTreeMap::new();
    for row in kinds.rows() {
        groups.entry(&row.group).or_default().entry(&row.version).or_default().push(row);
    }
    for rows in groups.values_mut().flat_map(BTreeMap::values_mut) {
        rows.sort_by(|a, b| a.plural.cmp(&b.plural));
    }
    groups
}

/// A discovery document by its path; None where there is nothing.
pub fn document(kinds: &Table, path: &str, host: &str) -> Option<Value> {
    let groups = groups(kinds);
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    match parts[..] {
        ["api"] => Some(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}],
        })),
        ["apis"] => {
            let list: Vec<_> = groups.iter().filter(|(name, _)| !name.is_empty()).map(|(name, versions)| group(name, versions)).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list}))
        }
        ["apis", name] => {
            let mut document = group(name, groups.get(name).filter(|_| !name.is_empty())?);
            document["kind"] = json!("APIGroup");
            document["apiVersion"] = json!("v1");
            Some(document)
        }
        ["api", version] => resources(version, groups.get("")?.get(version)?),
        ["apis", name, version] => resources(&format!("{name}/{version}"), groups.get(name)?.get(version)?),
        _ => None,
    }
}

/// Whether a group is served at all: a path below one that is not is no resource but nothing.
pub fn has_group(kinds: &Table, group: &str) -> bool {
    kinds.rows().iter().any(|row| row.group == group)
}

fn group(name: &str, versions: &BTreeMap<&str, Vec<&Arc<Kind>>>) -> Value {
    let versions: Vec<_> =
        versions.keys().map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version})).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions[0]})
}

fn resources(group_version: &str, rows: &[&Arc<Kind>]) -> Option<Value> {
    let mut list = vec![];
    for row in rows {
        let mut main =
            json!({"name": row.plural, "singularName": row.singular, "namespaced": row.namespaced, "kind": row.kind, "verbs": verbs(row)});
        if !row.short.is_empty() {
            main["shortNames"] = json!(row.short);
        }
        if !row.categories.is_empty() {
            main["categories"] = json!(row.categories);
        }
        if !row.ephemeral {
            main["storageVersionHash"] = json!(storage_hash(row));
        }
        list.push(main);
        for Spoken { sub, verbs, kind } in subresources(row) {
            let name = format!("{}/{}", row.plural, sub.path());
            let mut entry = json!({"name": name, "singularName": "", "namespaced": row.namespaced, "kind": row.kind, "verbs": verbs});
            if let Some((group, version, kind)) = kind {
                entry["kind"] = json!(kind);
                if group != row.group {
                    entry["group"] = json!(group);
                    entry["version"] = json!(version);
                }
            }
            list.push(entry);
        }
    }
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list}))
}

fn storage_hash(row: &Kind) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let hash = Sha256::digest(format!("{}/{}/{}", row.storage().group, row.version, row.kind));
    STANDARD.encode(&hash[..8])
}

/// The same in one document: of the core group for `/api`, of all others for `/apis`. `version` is that of the discovery API itself.
pub fn aggregated(kinds: &Table, path: &str, version: &str) -> Value {
    let core = path.trim_matches('/') == "api";
    let groups = groups(kinds);
    let items: Vec<_> =
        groups.iter().filter(|(name, _)| name.is_empty() == core).map(|(name, versions)| aggregated_group(name, versions)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items})
}

fn aggregated_group(name: &str, versions: &BTreeMap<&str, Vec<&Arc<Kind>>>) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .map(|(version, rows)| json!({"version": version, "freshness": "Current", "resources": rows.iter().map(|row| aggregated_resource(row)).collect::<Vec<_>>()}))
        .collect();
    let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(row: &Kind) -> Value {
    // A kind of the resource's own group and version is said without them.
    let own = json!({"group": "", "version": "", "kind": row.kind});
    let scope = if row.namespaced { "Namespaced" } else { "Cluster" };
    let mut entry =
        json!({"resource": row.plural, "responseKind": own, "scope": scope, "singularResource": row.singular, "verbs": verbs(row)});
    if !row.short.is_empty() {
        entry["shortNames"] = json!(row.short);
    }
    if !row.categories.is_empty() {
        entry["categories"] = json!(row.categories);
    }
    let subs = subresources(row).into_iter().map(|Spoken { sub, verbs, kind }| {
        let kind = kind.map_or_else(|| own.clone(), |(group, version, kind)| json!({"group": group, "version": version, "kind": kind}));
        json!({"subresource": sub.path(), "responseKind": kind, "verbs": verbs})
    });
    let subs: Vec<_> = subs.collect();
    if !subs.is_empty() {
        entry["subresources"] = json!(subs);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new(knarr_kinds::builtin())
    }

    #[test]
    fn drain_finds_evictions() {
        let document = document(&table(), "/api/v1", "").unwrap();
        let eviction = document["resources"].as_array().unwrap().iter().find(|r| r["name"] == "pods/eviction").unwrap();
        assert_eq!((&eviction["group"], &eviction["version"], &eviction["kind"]), (&json!("policy"), &json!("v1"), &json!("Eviction")));
    }

    #[test]
    fn groups_and_versions_are_found_by_their_paths() {
        let check = |path: &str, kind: Option<&str>| {
            assert_eq!(document(&table(), path, "").map(|d| d["kind"].as_str().unwrap().to_owned()).as_deref(), kind, "{path}")
        };
        check("/api", Some("APIVersions"));
        check("/api/v1", Some("APIResourceList"));
        check("/api/v2", None);
        check("/apis", Some("APIGroupList"));
        check("/apis/apps/", Some("APIGroup"));
        check("/apis/apps/v1", Some("APIResourceList"));
        check("/apis/apps/v2", None);
        check("/apis/nonsense", None);
    }

    #[test]
    fn both_forms_tell_the_same() {
        let table = table();
        let new = aggregated(&table, "/apis", "v2");
        let of_apps = new["items"].as_array().unwrap().iter().find(|g| g["metadata"]["name"] == "apps").unwrap();
        let deployments = &of_apps["versions"][0]["resources"][0];
        assert_eq!((&deployments["resource"], &deployments["shortNames"]), (&json!("deployments"), &json!(["deploy"])));
        let old = document(&table, "/apis/apps/v1", "").unwrap();
        assert_eq!(old["resources"][0]["verbs"], deployments["verbs"]);
        let scale = deployments["subresources"].as_array().unwrap().iter().find(|s| s["subresource"] == "scale").unwrap();
        assert_eq!(scale["responseKind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
        assert_eq!(aggregated(&table, "/api", "v2")["items"].as_array().unwrap().len(), 1);
    }
}
