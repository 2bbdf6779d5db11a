//! What the server serves, and the words that people use for it: `po`, `deployments.apps`, `Pod`.
use super::Api;
use anyhow::{Context as _, bail};
use serde_json::Value;

const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub namespaced: bool,
    short: Vec<String>,
    categories: Vec<String>,
}

impl Resource {
    /// The path of the collection, or of one object in it.
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut path =
            if self.group.is_empty() { format!("/api/{}", self.version) } else { format!("/apis/{}/{}", self.group, self.version) };
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path += &format!("/namespaces/{namespace}");
        }
        path += &format!("/{}", self.plural);
        name.map_or(path.clone(), |name| format!("{path}/{name}"))
    }

    /// `pod/web`, `deployment.apps/web`: how kubectl names an object.
    pub fn named(&self, name: &str) -> String {
        if self.group.is_empty() { format!("{}/{name}", self.singular) } else { format!("{}.{}/{name}", self.singular, self.group) }
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Everything served, in the server's order of preference.
pub struct Resources(Vec<Resource>);

impl Resources {
    pub async fn ask(api: &Api) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for path in ["/api", "/apis"] {
            let answer = api.send(http::Method::GET, path, None, DISCOVERY, vec![]).await?;
            let answer: Value = serde_json::from_slice(&answer).context("the server's discovery")?;
            all.extend(read(&answer));
        }
        Ok(Self(all))
    }

    /// By any of its names; the group may follow a dot.
    pub fn find(&self, word: &str) -> anyhow::Result<Vec<&Resource>> {
        let lower = word.to_lowercase();
        let (name, group) = lower.split_once('.').map_or((lower.as_str(), None), |(name, group)| (name, Some(group)));
        let is_meant = |r: &&Resource| {
            let named = r.plural == name || r.singular == name || r.kind.to_lowercase() == name || r.short.iter().any(|s| s == name);
            named && group.is_none_or(|group| r.group == group)
        };
        if let Some(one) = self.0.iter().find(is_meant) {
            return Ok(vec![one]);
        }
        let category: Vec<_> = self.0.iter().filter(|r| r.categories.contains(&lower)).collect();
        if category.is_empty() {
            bail!("the server doesn't have a resource type {word:?}");
        }
        Ok(category)
    }

    /// By a manifest's `apiVersion` and `kind`.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> anyhow::Result<&Resource> {
        let found = self.0.iter().find(|r| r.kind == kind && r.api_version() == api_version);
        found.with_context(|| format!("no matches for kind {kind:?} in version {api_version:?}"))
    }

    /// `pod web-1 web-2` and `pod/web-1 deploy/web` as what they name. No names: the whole collection.
    pub fn read_words(&self, words: &[String]) -> anyhow::Result<Vec<(&Resource, Option<String>)>> {
        if words.iter().any(|word| word.contains('/')) {
            return words
                .iter()
                .map(|word| {
                    let (kind, name) = word.split_once('/').context("there is no need to mix KIND/NAME with other words")?;
                    let resource = self.find(kind)?.into_iter().next().context("a name needs one kind")?;
                    Ok((resource, Some(name.to_owned())))
                })
                .collect();
        }
        let (kinds, names) = words.split_first().context("a kind is missing, for example: pods")?;
        let mut meant = Vec::new();
        for kind in kinds.split(',') {
            for resource in self.find(kind)? {
                if names.is_empty() {
                    meant.push((resource, None));
                }
                meant.extend(names.iter().map(|name| (resource, Some(name.clone()))));
            }
        }
        Ok(meant)
    }
}

fn read(discovery: &Value) -> Vec<Resource> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| value.as_array().map(|all| all.iter().map(text).collect()).unwrap_or_default();
    let mut all = Vec::new();
    for group in discovery["items"].as_array().into_iter().flatten() {
        for version in group["versions"].as_array().into_iter().flatten() {
            for resource in version["resources"].as_array().into_iter().flatten() {
                all.push(Resource {
                    group: text(&group["metadata"]["name"]),
                    version: text(&version["version"]),
                    plural: text(&resource["resource"]),
                    singular: text(&resource["singularResource"]),
                    kind: text(&resource["responseKind"]["kind"]),
                    namespaced: resource["scope"] == "Namespaced",
                    short: texts(&resource["shortNames"]),
                    categories: texts(&resource["categories"]),
                });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn served() -> Resources {
        let resource = |plural: &str, kind: &str, short: &str| json!({"resource": plural, "singularResource": kind.to_lowercase(), "responseKind": {"kind": kind}, "scope": "Namespaced", "shortNames": [short], "categories": ["all"]});
        let group =
            |name: &str, resources: Value| json!({"metadata": {"name": name}, "versions": [{"version": "v1", "resources": resources}]});
        Resources(read(
            &json!({"items": [group("", json!([resource("pods", "Pod", "po")])), group("apps", json!([resource("deployments", "Deployment", "deploy")]))]}),
        ))
    }

    fn meant(words: &str) -> String {
        let words: Vec<String> = words.split(' ').map(String::from).collect();
        match served().read_words(&words) {
            Ok(all) => all.iter().map(|(r, name)| r.named(name.as_deref().unwrap_or("*"))).collect::<Vec<_>>().join(" "),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn reads_the_words_that_kubectl_reads() {
        for (words, expected) in [
            ("po", "pod/*"),
            ("Pod a b", "pod/a pod/b"),
            ("deploy/web po/a", "deployment.apps/web pod/a"),
            ("deployments.apps", "deployment.apps/*"),
            ("all", "pod/* deployment.apps/*"),
            ("po,deploy", "pod/* deployment.apps/*"),
            ("pods.apps", "the server doesn't have a resource type \"pods.apps\""),
        ] {
            assert_eq!(meant(words), expected);
        }
    }

    #[test]
    fn finds_the_way() {
        let served = served();
        let deploy = served.of_kind("apps/v1", "Deployment").unwrap();
        assert_eq!(deploy.path(Some("shop"), Some("web")), "/apis/apps/v1/namespaces/shop/deployments/web");
        assert_eq!(deploy.path(None, None), "/apis/apps/v1/deployments");
    }
}
