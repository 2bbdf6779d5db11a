//! `knarr logs`: what a pod's container wrote.
use super::{Api, in_kubectls_words};
use crate::cli::LogsOptions;
use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use http::Method;
use http_body_util::BodyStream;
use std::{io::Write as _, process::ExitCode};

pub async fn run(options: LogsOptions) -> anyhow::Result<ExitCode> {
    let api = Api::open(&options.from).await?;
    let pod = options.pod.strip_prefix("pod/").or_else(|| options.pod.strip_prefix("po/")).unwrap_or(&options.pod);
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/log?{}", api.namespace, query(&options)?.join("&"));
    follow(&api, &path).await.map_err(in_kubectls_words)?;
    Ok(ExitCode::SUCCESS)
}

/// Copies a log to stdout as it comes, to its end.
pub async fn follow(api: &Api, path: &str) -> anyhow::Result<()> {
    let mut body = BodyStream::new(api.stream(Method::GET, path, None, "*/*", vec![]).await?);
    let mut out = std::io::stdout();
    while let Some(frame) = body.next().await {
        if let Ok(data) = frame.context("the log broke off")?.into_data() {
            out.write_all(&data)?;
            out.flush()?;
        }
    }
    Ok(())
}

fn query(options: &LogsOptions) -> anyhow::Result<Vec<String>> {
    let flags = [("follow", options.follow), ("previous", options.previous), ("timestamps", options.timestamps)];
    let mut query: Vec<_> = flags.into_iter().filter(|(_, on)| *on).map(|(key, _)| format!("{key}=true")).collect();
    query.extend(options.container.iter().map(|container| format!("container={container}")));
    query.extend(options.tail.map(|lines| format!("tailLines={lines}")));
    if let Some(since) = &options.since {
        query.push(format!("sinceSeconds={}", seconds(since)?));
    }
    Ok(query)
}

/// `90s`, `5m`, `2h`, `1h30m`.
fn seconds(said: &str) -> anyhow::Result<u64> {
    let (mut total, mut number) = (0_u64, String::new());
    for letter in said.chars() {
        let unit = match letter {
            '0'..='9' => {
                number.push(letter);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => bail!("invalid duration {said:?}: expected for example 90s, 5m or 1h30m"),
        };
        total += unit * number.parse::<u64>().with_context(|| format!("invalid duration {said:?}"))?;
        number.clear();
    }
    if !number.is_empty() || said.is_empty() {
        bail!("invalid duration {said:?}: a unit is missing (s, m or h)");
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let read = |said: &str| seconds(said).map_err(|_| ()).ok();
        assert_eq!(["90s", "5m", "1h30m", "5", "", "x"].map(read), [Some(90), Some(300), Some(5400), None, None, None]);
    }
}
