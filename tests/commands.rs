//! The user's own commands, as they are typed.
use anyhow::ensure;
use knarr_tests::{Guest, Started, binary, eventually, hello, http_get};
use std::process::Command;

#[tokio::test]
async fn the_demo_shows_three_answers_of_three_pods() -> anyhow::Result<()> {
    let output = tokio::task::spawn_blocking(|| Command::new(binary()).args(["demo", "--once"]).output()).await??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    ensure!(said.matches("hello from hello-").count() == 3, "{said}");
    ensure!(said.matches("Running").count() == 3 && said.contains("export KUBECONFIG="), "{said}");
    Ok(())
}

#[tokio::test]
async fn run_prints_what_a_command_wrote_and_how_it_ended() -> anyhow::Result<()> {
    let up = Started::up().await?;
    for (name, guest, code, out, err) in [
        ("greets", Guest::Greets, 0, "hello\n", "exit code 0"),
        ("exits", Guest::Exits(7), 7, "", "exit code 7"),
        ("traps", Guest::Traps, 134, "", "unreachable"),
    ] {
        let file = up.node.data.join(format!("{name}.wasm"));
        std::fs::write(&file, guest.wasm())?;
        let (its_code, its_out, its_err) = up.knarr(&["run", &file.to_string_lossy()]).await?;
        ensure!(its_code == code && its_out == out && its_err.contains(err), "{name}: {its_code} {its_out} {its_err}");
    }
    Ok(())
}

#[tokio::test]
async fn run_prints_the_url_of_what_it_serves() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let file = up.node.data.join("hello.wasm");
    std::fs::write(&file, hello())?;
    let (code, out, err) = up.knarr(&["run", &file.to_string_lossy(), "--name", "front"]).await?;
    ensure!(code == 0, "{err}");
    let (status, text) = http_get(out.trim()).await?;
    ensure!(status == 200 && text.contains("front"), "{status} {text}");
    Ok(())
}

#[tokio::test]
async fn apply_get_logs_events_and_delete_say_what_kubectl_says() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let image = up.import("greets", &Guest::Greets.wasm()).await?;
    let file = up.node.data.join("pod.yaml");
    std::fs::write(
        &file,
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: greets}}\nspec:\n  restartPolicy: Never\n  containers: [{{name: main, image: \"{image}\"}}]\n"
        ),
    )?;
    let file = file.to_string_lossy().into_owned();
    for (arguments, out) in [(vec!["apply", "-f", &file], "pod/greets created\n"), (vec!["apply", "-f", &file], "pod/greets unchanged\n")] {
        let (code, its_out, err) = up.knarr(&arguments).await?;
        ensure!(code == 0 && its_out == out, "{its_out} {err}");
    }
    eventually("its end", async || {
        let (_, out, err) = up.knarr(&["get", "po", "greets"]).await?;
        ensure!(out.starts_with("NAME     READY   STATUS      RESTARTS   AGE\ngreets   0/1     Completed   0          "), "{out} {err}");
        Ok(())
    })
    .await?;
    for (arguments, code, out, err) in [
        (vec!["logs", "greets"], 0, "hello\n", ""),
        (vec!["logs", "pod/greets", "--tail", "1"], 0, "hello\n", ""),
        (vec!["get", "pod/none"], 1, "", "Error from server (NotFound): pods \"none\" not found"),
        (vec!["get", "ships"], 1, "", "the server doesn't have a resource type \"ships\""),
        (vec!["get", "deploy"], 0, "", "No resources found in default namespace."),
        (vec!["get", "po", "-o", "name"], 0, "pod/greets\n", ""),
        (vec!["events", "--for", "pod/greets"], 0, "Started", ""),
        (vec!["delete", "pod", "greets"], 0, "pod \"greets\" deleted", ""),
    ] {
        let (its_code, its_out, its_err) = up.knarr(&arguments).await?;
        ensure!(its_code == code && its_out.contains(out) && its_err.contains(err), "{arguments:?}: {its_code} {its_out} {its_err}");
    }
    Ok(())
}

#[tokio::test]
async fn images_go_to_the_registry_and_come_back() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let file = up.node.data.join("hello.wasm");
    std::fs::write(&file, hello())?;
    let reference = format!("localhost:{}/team/hello:v1", up.node.registry);
    let back = up.node.data.join("back.wasm");
    let (file, back) = (file.to_string_lossy().into_owned(), back.to_string_lossy().into_owned());
    for (arguments, out) in [
        (vec!["push", &file, &reference], "sha256:"),
        (vec!["pull", &reference, "-o", &back], "pulled"),
        (vec!["inspect", &reference], "wasi:http/incoming-handler@0.2"),
        (vec!["inspect", &back, "-o", "json"], "\"world\": \"http\""),
    ] {
        let (code, its_out, err) = up.knarr(&arguments).await?;
        ensure!(code == 0 && its_out.contains(out), "{arguments:?}: {its_out} {err}");
    }
    ensure!(std::fs::read(back)? == hello());
    Ok(())
}
