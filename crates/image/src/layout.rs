//! Which of an artifact's layers holds the Wasm. Pure: a manifest in, a choice out. The layouts are those that Wasm tools push today:
//! CNCF Wasm artifacts (wkg), Spin applications, wasmCloud's, old runwasi's, and container images with a `.wasm` entrypoint.
use serde::Deserialize;

pub(crate) const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const LAYER_TYPE: &str = "application/wasm";
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What we ask registries for.
pub(crate) const ACCEPTED: &[&str] = &[
    MANIFEST_TYPE,
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Layers that are a Wasm file as it stands.
const WASM_LAYERS: &[&str] = &[
    LAYER_TYPE,
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Layout {
    /// An index: go on with this manifest of it.
    Index(Descriptor),
    /// The layer is the Wasm.
    Wasm(Descriptor),
    /// A container image: `config` says the platform and the entrypoint, the last layer that has the file wins.
    Container { config: Descriptor, layers: Vec<Descriptor> },
}

/// Chooses, or says what was found instead.
pub(crate) fn choose(manifest: &[u8]) -> Result<Layout, String> {
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(|e| format!("its manifest is not OCI's: {e}"))?;
    if let Some(entries) = manifest.manifests {
        return wasm_entry(entries).map(Layout::Index);
    }
    let wasm: Vec<_> = manifest.layers.iter().filter(|layer| WASM_LAYERS.contains(&layer.media_type.as_str())).collect();
    match (&wasm[..], manifest.config) {
        ([one], _) => Ok(Layout::Wasm((*one).clone())),
        ([], Some(config)) if manifest.layers.iter().all(is_tar) && !manifest.layers.is_empty() => {
            Ok(Layout::Container { config, layers: manifest.layers })
        }
        ([], _) => Err(format!("its layers are {}", types(&manifest.layers))),
        (several, _) => Err(format!("it holds {} Wasm files; a container runs one", several.len())),
    }
}

pub(crate) fn is_tar(layer: &Descriptor) -> bool {
    layer.media_type.contains(".tar") || layer.media_type.contains("rootfs.diff")
}

pub(crate) fn is_gzip(layer: &Descriptor) -> bool {
    layer.media_type.ends_with("gzip")
}

fn types(layers: &[Descriptor]) -> String {
    if layers.is_empty() {
        return "none".into();
    }
    layers.iter().map(|layer| layer.media_type.as_str()).collect::<Vec<_>>().join(", ")
}

/// A mixed index prefers Wasm.
fn wasm_entry(entries: Vec<Descriptor>) -> Result<Descriptor, String> {
    let names: Vec<_> =
        entries.iter().map(|e| e.platform.as_ref().map_or_else(|| "unknown".into(), |p| format!("{}/{}", p.os, p.architecture))).collect();
    let is_wasm =
        |entry: &Descriptor| entry.platform.as_ref().is_some_and(|p| p.architecture.starts_with("wasm") || p.os.starts_with("wasi"));
    entries.into_iter().find(is_wasm).ok_or_else(|| format!("its platforms are {}", names.join(", ")))
}

/// The Wasm file that a container image runs: its entrypoint, or else its command.
pub(crate) fn entrypoint(config: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        os: String,
        #[serde(default)]
        architecture: String,
        #[serde(default)]
        config: Option<Run>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Run {
        #[serde(default)]
        entrypoint: Option<Vec<String>>,
        #[serde(default)]
        cmd: Option<Vec<String>>,
    }
    let config: Config = serde_json::from_slice(config).map_err(|e| format!("its configuration is not OCI's: {e}"))?;
    let run =
        config.config.map(|run| run.entrypoint.unwrap_or_default().into_iter().chain(run.cmd.unwrap_or_default()).collect::<Vec<_>>());
    let program = run.and_then(|words| words.into_iter().next()).unwrap_or_default();
    if program.ends_with(".wasm") {
        return Ok(program.trim_start_matches(['.', '/']).to_owned());
    }
    Err(format!("it is a container image for {}/{} that runs {program:?}", config.os, config.architecture))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chosen(manifest: serde_json::Value) -> String {
        match choose(manifest.to_string().as_bytes()) {
            Ok(Layout::Index(entry)) => format!("index {}", entry.digest),
            Ok(Layout::Wasm(layer)) => format!("wasm {}", layer.digest),
            Ok(Layout::Container { layers, .. }) => format!("container of {}", layers.len()),
            Err(found) => found,
        }
    }

    fn artifact(layers: &[&str]) -> serde_json::Value {
        let layers: Vec<_> =
            layers.iter().enumerate().map(|(i, kind)| json!({"mediaType": kind, "digest": format!("d{i}"), "size": 1})).collect();
        json!({"schemaVersion": 2, "config": {"mediaType": "x", "digest": "c", "size": 1}, "layers": layers})
    }

    #[test]
    fn finds_the_wasm_in_every_layout() {
        for (layers, expected) in [
            (&["application/wasm"][..], "wasm d0"),
            (&["application/vnd.wasm.content.layer.v1+data", "application/vnd.wasm.content.layer.v1+wasm"], "wasm d1"),
            (&["application/vnd.module.wasm.content.layer.v1+wasm"], "wasm d0"),
            (&["application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"], "wasm d0"),
            (&["application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar"], "container of 2"),
            (&["application/vnd.docker.image.rootfs.diff.tar.gzip"], "container of 1"),
            (&["application/wasm", "application/wasm"], "it holds 2 Wasm files; a container runs one"),
            (
                &["application/vnd.cncf.helm.chart.content.v1.tar+gzip", "text/plain"],
                "its layers are application/vnd.cncf.helm.chart.content.v1.tar+gzip, text/plain",
            ),
            (&[], "its layers are none"),
        ] {
            assert_eq!(chosen(artifact(layers)), expected);
        }
    }

    #[test]
    fn prefers_wasm_in_a_mixed_index() {
        let entry = |digest: &str, os: &str, arch: &str| json!({"digest": digest, "size": 1, "platform": {"os": os, "architecture": arch}});
        assert_eq!(chosen(json!({"manifests": [entry("l", "linux", "amd64"), entry("w", "wasip1", "wasm")]})), "index w");
        assert_eq!(chosen(json!({"manifests": [entry("l", "linux", "amd64")]})), "its platforms are linux/amd64");
    }

    #[test]
    fn reads_the_entrypoint() {
        let said = |config: serde_json::Value| entrypoint(config.to_string().as_bytes()).unwrap_or_else(|e| e);
        assert_eq!(said(json!({"os": "wasip1", "architecture": "wasm", "config": {"Entrypoint": ["/app.wasm"]}})), "app.wasm");
        assert_eq!(said(json!({"os": "wasip1", "architecture": "wasm", "config": {"Cmd": ["./bin/app.wasm", "x"]}})), "bin/app.wasm");
        assert_eq!(
            said(json!({"os": "linux", "architecture": "amd64", "config": {"Entrypoint": ["/nginx"]}})),
            "it is a container image for linux/amd64 that runs \"/nginx\""
        );
    }
}
