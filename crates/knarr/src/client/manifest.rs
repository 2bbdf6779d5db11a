//! Manifests: YAML or JSON files, several documents each, Lists taken apart.
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

/// Everything that these files describe, in order. A folder means its .yaml, .yml and .json files; `-` is standard input.
pub fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for file in files {
        if file == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("reading standard input")?;
            all.extend(parse(&text).context("standard input")?);
        } else if file.is_dir() {
            let mut inside: Vec<_> = std::fs::read_dir(file)?.flatten().map(|f| f.path()).filter(|f| is_manifest(f)).collect();
            inside.sort();
            all.extend(read(&inside)?);
        } else {
            let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            all.extend(parse(&text).with_context(|| file.display().to_string())?);
        }
    }
    if all.is_empty() {
        bail!("no objects passed to apply");
    }
    Ok(all)
}

fn is_manifest(file: &Path) -> bool {
    file.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
}

pub fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| anyhow::anyhow!("{e}"))?;
    let mut all = Vec::new();
    for document in documents {
        match document {
            Value::Null => {}
            Value::Object(ref object) if document["kind"] == "List" => {
                all.extend(object.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
            }
            object => all.push(object),
        }
    }
    for object in &all {
        for field in ["kind", "apiVersion"] {
            if object[field].as_str().is_none_or(str::is_empty) {
                bail!("Object '{field}' is missing in '{object}'");
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_documents_and_lists_apart() {
        let names = |text: &str| {
            parse(text)
                .map(|all| all.iter().map(|o| o["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" "))
                .unwrap_or_else(|e| e.to_string())
        };
        assert_eq!(names("apiVersion: v1\nkind: A\n---\napiVersion: v1\nkind: B\n"), "A B");
        assert_eq!(names("---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: C}\n"), "C");
        assert_eq!(names("kind: A\n"), r#"Object 'apiVersion' is missing in '{"kind":"A"}'"#);
    }
}
