//! `push`, `pull`, `inspect` and `image`: Wasm files and the registries that hold them.
use crate::{
    cli::{Form, ImageCommand, ImageOptions, InspectOptions, PullOptions, PushOptions},
    client::table,
    paths,
};
use anyhow::Context as _;
use knarr_image::{Description, Images, describe};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

pub async fn push(options: PushOptions) -> anyhow::Result<ExitCode> {
    let wasm = read(&options.file).await?;
    let size_bytes = wasm.len();
    let digest = knarr_image::push(wasm, &options.reference, jiff::Timestamp::now()).await?;
    println!("pushed {} ({size_bytes} bytes) to {}", options.file.display(), options.reference);
    println!("{digest}");
    Ok(ExitCode::SUCCESS)
}

pub async fn pull(options: PullOptions) -> anyhow::Result<ExitCode> {
    let wasm = knarr_image::fetch(&options.reference).await?;
    let file = options.output.unwrap_or_else(|| file_for(&options.reference));
    tokio::fs::write(&file, &wasm).await.with_context(|| format!("writing {}", file.display()))?;
    println!("pulled {} ({} bytes) to {}", options.reference, wasm.len(), file.display());
    Ok(ExitCode::SUCCESS)
}

/// `localhost:5000/team/web:v1` is written to `web.wasm`.
fn file_for(reference: &str) -> PathBuf {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    let name = last.split([':', '@']).next().unwrap_or(last);
    PathBuf::from(format!("{name}.wasm"))
}

pub async fn inspect(options: InspectOptions) -> anyhow::Result<ExitCode> {
    let file = Path::new(&options.what);
    let wasm = if file.exists() {
        read(file).await?
    } else {
        knarr_image::fetch(&options.what).await.with_context(|| format!("{} is no file here", options.what))?
    };
    let description = describe(&wasm).with_context(|| options.what.clone())?;
    match options.output {
        Form::Json => println!("{}", serde_json::to_string_pretty(&description)?),
        Form::Text => print!("{}", in_words(&description)),
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(d: &Description) -> String {
    use knarr_image::World;
    let world = match d.world {
        World::Command => "command (runs to its end)",
        World::Http => "HTTP handler (is served)",
        World::Both => "HTTP handler and command (is served, unless the container gives command or args)",
        World::Other => "library (a pod cannot run it)",
    };
    let form = format!("{:?}", d.form).to_lowercase();
    let mut said = format!(
        "Kind:     {form}, {world}\nWASI:     {}\nSize:     {} bytes\nDigest:   {}\n",
        d.wasi.as_deref().unwrap_or("none"),
        d.size_bytes,
        d.digest
    );
    for (title, names) in [("Imports:", &d.imports), ("Exports:", &d.exports)] {
        let list = if names.is_empty() { "none".into() } else { names.join("\n          ") };
        said.push_str(&format!("{title:<10}{list}\n"));
    }
    said
}

pub async fn image(options: ImageOptions) -> anyhow::Result<ExitCode> {
    match options.command {
        ImageCommand::Import { file, name, data_dir } => {
            let wasm = read(&file).await?;
            let images = Images::open(paths::images(&paths::data_dir(data_dir)?))?;
            let description = images.import(&wasm, &name).await.with_context(|| file.display().to_string())?;
            println!("imported {name} ({} bytes)\n{}", description.size_bytes, description.digest);
        }
        ImageCommand::List { data_dir, output } => {
            let all = Images::open(paths::images(&paths::data_dir(data_dir)?))?.list()?;
            if output == Form::Json {
                println!("{}", serde_json::to_string_pretty(&all)?);
            } else {
                let rows = all.iter().map(|i| vec![i.name.clone(), short(&i.digest), i.size_bytes.to_string()]).collect::<Vec<_>>();
                print!("{}", table::render(&["NAME", "DIGEST", "SIZE"].map(String::from), &rows));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn short(digest: &str) -> String {
    digest.chars().take(19).collect()
}

async fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    tokio::fs::read(file).await.with_context(|| format!("reading {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_file_after_the_repository() {
        for (reference, file) in [("localhost:5000/team/web:v1", "web.wasm"), ("web", "web.wasm"), ("r.io/a/b@sha256:00", "b.wasm")] {
            assert_eq!(file_for(reference), PathBuf::from(file));
        }
    }
}
