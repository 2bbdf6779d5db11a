use super::*;
use serde_json::{Value, from_value, json};
use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};
use tempfile::TempDir;

struct Place {
    data: TempDir,
    around: Surroundings,
}

fn place() -> Place {
    let config_map = json!({"metadata": {"name": "cm"}, "data": {"a.txt": "A", "b.txt": "B"}, "binaryData": {"bin": "AAE="}});
    let secret = json!({"metadata": {"name": "s"}, "data": {"key": "c2VjcmV0"}});
    let around = Surroundings {
        config_maps: [("cm".to_owned(), Arc::new(from_value(config_map).unwrap()))].into(),
        secrets: [("s".to_owned(), Arc::new(from_value(secret).unwrap()))].into(),
        ..Surroundings::default()
    };
    Place { data: tempfile::tempdir().unwrap(), around }
}

fn pod(volumes: Value, mounts: Value) -> Pod {
    let meta = json!({"name": "web", "namespace": "shop", "uid": "u", "labels": {"app": "web"}});
    from_value(json!({"metadata": meta, "spec": {"volumes": volumes, "containers": [{"name": "a", "volumeMounts": mounts}]}})).unwrap()
}

impl Place {
    fn volume(&self) -> PathBuf {
        self.data.path().join("domains/shop/pods/u/volumes/v")
    }

    /// Makes one volume and lists its files with their text, or says why not.
    fn files(&self, source: Value) -> Result<String, String> {
        let mut volume = source;
        volume["name"] = json!("v");
        make(self.data.path(), &pod(json!([volume]), json!([])), &self.around).map_err(|e| match std::error::Error::source(&e) {
            Some(_) => e.to_string(),
            None => format!("{e}"),
        })?;
        let mut files = Vec::new();
        list(&self.volume(), "", &mut files);
        files.sort();
        Ok(files.join(" "))
    }
}

/// Follows links, as a guest does.
fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("..") {
            continue;
        }
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            list(&path, &format!("{name}/"), files);
        } else {
            files.push(format!("{name}={}", String::from_utf8_lossy(&fs::read(&path).unwrap()).escape_default()));
        }
    }
}

#[test]
fn volumes_hold_what_they_say() {
    for (source, said) in [
        (json!({"emptyDir": {}}), Ok("")),
        (json!({}), Ok("")),
        (json!({"configMap": {"name": "cm"}}), Ok("a.txt=A b.txt=B bin=\\u{0}\\u{1}")),
        (json!({"configMap": {"name": "cm", "items": [{"key": "a.txt", "path": "deep/x"}]}}), Ok("deep/x=A")),
        (json!({"secret": {"secretName": "s"}}), Ok("key=secret")),
        (json!({"secret": {"secretName": "x", "optional": true}}), Ok("")),
        (
            json!({"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
            Ok("labels=app=\\\"web\\\""),
        ),
        (
            json!({"projected": {"sources": [{"configMap": {"name": "cm", "items": [{"key": "a.txt", "path": "a"}]}}, {"secret": {"name": "s"}}, {"serviceAccountToken": {"path": "token"}}]}}),
            Ok("a=A key=secret"),
        ),
        (json!({"configMap": {"name": "x"}}), Err(r#"MountVolume.SetUp failed for volume "v" : configmap "x" not found"#)),
        (
            json!({"secret": {"secretName": "s", "items": [{"key": "no", "path": "x"}]}}),
            Err(r#"MountVolume.SetUp failed for volume "v" : couldn't find key no in Secret shop/s"#),
        ),
        (
            json!({"hostPath": {"path": "/"}}),
            Err(r#"MountVolume.SetUp failed for volume "v" : hostPath volumes are not supported by this node"#),
        ),
        (
            json!({"configMap": {"name": "cm", "items": [{"key": "a.txt", "path": "../x"}]}}),
            Err(r#"MountVolume.SetUp failed for volume "v" : invalid path "../x""#),
        ),
    ] {
        assert_eq!(place().files(source.clone()), said.map(Into::into).map_err(Into::into), "{source}");
    }
}

#[test]
fn files_change_all_at_once_and_only_when_they_changed() {
    let mut place = place();
    let source = || json!({"configMap": {"name": "cm"}});
    place.files(source()).unwrap();
    let version = || fs::read_link(place.volume().join("..data")).unwrap();
    let first = version();
    place.files(source()).unwrap();
    assert_eq!(version(), first, "nothing changed");
    let changed = json!({"metadata": {"name": "cm"}, "data": {"a.txt": "new", "c.txt": "C"}});
    place.around.config_maps.insert("cm".into(), Arc::new(from_value(changed).unwrap()));
    assert_eq!(place.files(source()).unwrap(), "a.txt=new c.txt=C");
    let second = fs::read_link(place.volume().join("..data")).unwrap();
    assert!(second != first && !place.volume().join(first).exists(), "the old version is removed");
}

#[test]
fn guests_can_read_files_and_write_in_an_empty_dir() {
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let place = place();
    place.files(json!({"secret": {"secretName": "s", "defaultMode": 0o400}})).unwrap();
    assert_eq!(mode(place.volume().join("key")), 0o444);
    fs::remove_dir_all(place.volume()).unwrap();
    place.files(json!({"emptyDir": {}})).unwrap();
    assert_eq!(mode(place.volume()), 0o777);
}

fn mounted(place: &Place, volume: Value, mount: Value) -> Result<(PathBuf, bool), String> {
    let (mut volume, mut mount) = (volume, mount);
    (volume["name"], mount["name"], mount["mountPath"]) = (json!("v"), json!("v"), json!("/v"));
    let pod = pod(json!([volume]), json!([mount]));
    make(place.data.path(), &pod, &place.around).map_err(|e| e.to_string())?;
    let variables = Variables::from([("SUB".into(), "from-env".into())]);
    let mounts = mounts(place.data.path(), &pod, &pod.spec.containers[0], &variables).map_err(|e| e.to_string())?;
    let [Mount { source, target, read_only }] = &mounts[..] else { panic!("one mount") };
    assert_eq!(target, "/v");
    let root = place.volume().canonicalize().unwrap();
    let source = source.canonicalize().unwrap();
    Ok((source.strip_prefix(root).unwrap().to_owned(), *read_only))
}

#[test]
fn mounts_are_the_volume_or_a_part_of_it() {
    let (empty, config) = (|| json!({"emptyDir": {}}), || json!({"configMap": {"name": "cm"}}));
    let place = place();
    let part = |path: &str, read_only| Ok((PathBuf::from(path), read_only));
    assert_eq!(mounted(&place, empty(), json!({})), part("", false));
    assert_eq!(mounted(&place, empty(), json!({"readOnly": true})), part("", true));
    assert_eq!(mounted(&place, empty(), json!({"subPath": "a/b"})), part("a/b", false));
    assert_eq!(mounted(&place, empty(), json!({"subPathExpr": "$(SUB)"})), part("from-env", false));
    fs::remove_dir_all(place.volume()).unwrap();
    assert_eq!(mounted(&place, config(), json!({})), part("", true));
    assert_eq!(mounted(&place, config(), json!({"subPath": "a.txt"})), part("..1/a.txt", true));
}

#[test]
fn a_sub_path_never_leads_out_of_its_volume() {
    let place = place();
    let empty = || json!({"emptyDir": {}});
    assert!(mounted(&place, empty(), json!({"subPath": "../x"})).unwrap_err().contains("without .."));
    std::os::unix::fs::symlink("/etc", place.volume().join("evil")).unwrap();
    for sub in ["evil", "evil/passwd", "evil/new/folder"] {
        assert!(mounted(&place, empty(), json!({"subPath": sub})).unwrap_err().contains("leads out of the volume"), "{sub}");
    }
    assert!(!Path::new("/etc/new").exists());
}
