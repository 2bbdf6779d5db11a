//! What guests see and what becomes of them.
use crate::bench::{Bench, get, parse, request};
use knarr_runtime::{Container, Error, Limits, Mount, Runtime, State, contract};
use std::{
    fs,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub async fn keeps_the_contract() {
    let bench = Bench::new().await;
    let exits = |code: u32| {
        format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const {code}))))"#
        )
    };
    let module = |code| bench.image(&wat::parse_str(exits(code)).unwrap());
    let subjects =
        contract::Subjects { serves: bench.hello(), exits_42: module(42), completes: module(0), not_wasm: bench.image(b"#!/bin/sh") };
    contract::check(&*bench.runtime, &subjects, &bench.logs()).await;
    bench.clear().await;
}

pub async fn serves_http_with_keep_alive_and_streams() {
    let bench = Bench::new().await;
    let (_, address) = bench.serve(&bench.hello(), "shop", "web-0").await;
    assert_eq!(get(address, "/a?b=c").await, (200, "hello from web-0, path /a?b=c\n".into()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    for n in 0..100 {
        stream.write_all(format!("GET /{n} HTTP/1.1\r\nhost: pod\r\n\r\n").as_bytes()).await.unwrap();
        let want = format!("hello from web-0, path /{n}\n");
        let mut answer = String::new();
        while !answer.ends_with(&want) {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).await.unwrap();
            assert_ne!(read, 0, "{answer:?}");
            answer.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
        assert!(answer.to_ascii_lowercase().contains(&format!("content-length: {}\r\n", want.len())), "{answer}");
        assert!(answer.contains("text/plain"), "{answer}");
    }
    let (_, many) = bench.serve(&bench.many(), "shop", "many").await;
    let body = "0123456789abcdef".repeat(64 * 1024);
    let (status, echoed) =
        request(many, &format!("POST /body HTTP/1.1\r\nhost: pod\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
            .await;
    assert!(status == 200 && echoed == body, "{status}, {} of {} bytes", echoed.len(), body.len());
    assert_eq!(request(many, "GET / HTTP/1.0\r\n\r\n").await.0, 400, "a request without an authority");
    bench.clear().await;
}

pub async fn a_trap_answers_500_and_ends_the_container() {
    let bench = Bench::new().await;
    let (id, address) = bench.serve(&bench.many(), "shop", "many").await;
    let (_, other) = bench.serve(&bench.many(), "shop", "other").await;
    assert_eq!(get(address, "/trap").await, (500, "the guest trapped\n".into()));
    let State::Exited { code, reason, message, .. } = bench.ended(&id).await.state else { unreachable!() };
    assert_eq!((code, reason.as_str()), (134, "Error"));
    assert!(message.contains("broken_on_purpose") && message.contains("unreachable"), "a backtrace: {message}");
    assert_eq!(get(other, "/").await.0, 200, "its neighbour goes on");
    bench.clear().await;
}

pub async fn over_its_memory_limit_a_container_is_oom_killed() {
    let bench = Bench::new().await;
    let small = |name: &str, args: &[&str], image| Container {
        limits: Limits { cpu_millis: 0, memory_bytes: 8 << 20 },
        args: args.iter().map(ToString::to_string).collect(),
        ..bench.container(image, "shop", name)
    };
    let (many, command) = (bench.many(), bench.command());
    let (id, address) = bench.serve_as(small("many", &[], &many)).await;
    assert_eq!(get(address, "/").await.0, 200);
    assert_eq!(get(address, "/memory").await.0, 500);
    let State::Exited { code, reason, .. } = bench.ended(&id).await.state else { unreachable!() };
    assert_eq!((code, reason.as_str()), (137, "OOMKilled"));
    let (code, reason, ..) = bench.run(small("hog", &["hog", "m"], &command)).await;
    assert_eq!((code, reason.as_str()), (137, "OOMKilled"));
    bench.clear().await;
}

fn arguments(mut container: Container, what: &str) -> Container {
    container.args = vec!["program".into(), what.into()];
    container
}

pub async fn commands_have_arguments_environment_and_exit_codes() {
    let bench = Bench::new().await;
    let command = bench.command();
    let (code, reason, _, log) = bench.run(arguments(bench.container(&command, "shop", "all"), "a")).await;
    assert_eq!((code, reason.as_str()), (0, "Completed"));
    let lines: Vec<&str> = log.lines().map(|line| line.split_once(" stdout F ").unwrap().1).collect();
    assert_eq!(lines, ["program", "a", "HOSTNAME=all"]);
    let (code, reason, ..) = bench.run(arguments(bench.container(&command, "shop", "code"), "c")).await;
    assert_eq!((code, reason.as_str()), (42, "Error"));
    let (code, reason, message, _) = bench.run(arguments(bench.container(&command, "shop", "trap"), "t")).await;
    assert_eq!((code, reason.as_str()), (134, "Error"));
    assert!(message.contains("wasm backtrace") && message.contains("unreachable"), "{message}");
    bench.clear().await;
}

pub async fn commands_see_their_folders_and_nothing_else() {
    let bench = Bench::new().await;
    let command = bench.command();
    let root = bench.runtime.domain_root("shop").unwrap();
    let volume = root.join("pods/p/volumes/data");
    fs::create_dir_all(&volume).unwrap();
    fs::write(volume.join("note"), "a note\n").unwrap();
    let mounting = |name: &str, what: &str, source: &std::path::Path, read_only| {
        let mut container = arguments(bench.container(&command, "shop", name), what);
        container.mounts = vec![Mount { source: source.into(), target: "/data".into(), read_only }];
        container
    };
    let (code, _, _, log) = bench.run(mounting("reads", "f", &volume, true)).await;
    assert!(code == 0 && log.ends_with(" stdout F a note\n"), "{code} {log}");
    let (code, ..) = bench.run(mounting("may-not", "w", &volume, true)).await;
    assert_ne!(code, 0, "a read-only folder");
    let (code, ..) = bench.run(mounting("writes", "w", &volume, false)).await;
    assert_eq!((code, fs::read_to_string(volume.join("note")).unwrap()), (0, "written".into()));
    let elsewhere = bench.folder.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    let refused = bench.runtime.start(mounting("outside", "f", &elsewhere, true), vec![]).await.unwrap_err();
    assert!(refused.to_string().contains("lies outside of"), "{refused}");
    let (code, ..) = bench.run(arguments(bench.container(&command, "shop", "nothing"), "f")).await;
    assert_ne!(code, 0, "no folder at all");
    bench.clear().await;
}

pub async fn a_long_line_is_logged_in_parts() {
    let bench = Bench::new().await;
    let (_, _, _, log) = bench.run(arguments(bench.container(&bench.command(), "shop", "long"), "h")).await;
    let parts: Vec<(&str, usize)> = log.lines().map(|line| (&line[38..39], line.len() - 40)).collect();
    assert_eq!(parts.iter().map(|(_, length)| length).sum::<usize>(), 100_000, "{parts:?}");
    assert_eq!(parts.iter().filter(|(tag, _)| *tag == "F").count(), 1, "{parts:?}");
    assert!(parts.len() > 1 && parts.last().unwrap().0 == "F", "{parts:?}");
    bench.clear().await;
}

pub async fn a_command_that_never_ends_can_be_stopped() {
    let bench = Bench::new().await;
    let id = bench.runtime.start(arguments(bench.container(&bench.command(), "shop", "spin"), "s"), vec![]).await.unwrap();
    bench.runtime.stop(&id, 30_000).await.unwrap();
    let State::Exited { code, reason, .. } = bench.ended(&id).await.state else { unreachable!() };
    assert_eq!((code, reason.as_str()), (143, "Error"));
    bench.clear().await;
}

pub async fn a_busy_guest_starves_nobody_and_is_throttled() {
    let bench = Bench::new().await;
    let command = bench.command();
    let mut busy = Vec::new();
    for n in 0..8 {
        let mut container = arguments(bench.container(&command, "shop", &format!("spin-{n}")), "s");
        container.limits.cpu_millis = 50;
        busy.push(bench.runtime.start(container, vec![]).await.unwrap());
    }
    let (_, address) = bench.serve(&bench.hello(), "shop", "victim").await;
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(get(address, "/").await.0, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "200 requests took {:?}", began.elapsed());
    let used =
        |usage: Vec<(knarr_runtime::ContainerId, knarr_runtime::Usage)>| usage.iter().find(|(id, _)| *id == busy[0]).unwrap().1.cpu_ns;
    let (before, at) = (used(bench.runtime.usage().await.unwrap()), Instant::now());
    while at.elapsed() < Duration::from_secs(2) {
        get(address, "/").await;
    }
    let after = used(bench.runtime.usage().await.unwrap());
    let share = u128::from(after - before) * 1_000 / at.elapsed().as_nanos();
    assert!(share < 120, "a limit of 50 thousandths of a core, and it used {share}");
    bench.clear().await;
}

pub async fn stopping_waits_for_requests_in_flight() {
    let bench = Bench::new().await;
    let (container, socket) = contract::listening(bench.container(&bench.many(), "shop", "many"));
    let address = container.listen[0].address;
    // As the pod network does: the listener outlives the container, so late connections wait for the next one and are not refused.
    let _kept = socket.try_clone().unwrap();
    let id = bench.runtime.start(container, vec![socket]).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST /body HTTP/1.1\r\nhost: pod\r\nconnection: close\r\ncontent-length: 10\r\n\r\n01234").await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    let runtime = bench.runtime.clone();
    let stopping = tokio::spawn({
        let id = id.clone();
        async move { runtime.stop(&id, 30_000).await }
    });
    // Nobody new is let in as soon as it stops.
    while !stopping.is_finished() {
        // Left waiting, or let go unread: one that was accepted in the very moment of stopping is closed.
        let late = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"GET / HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n").await?;
            stream.read_u8().await
        };
        if !matches!(tokio::time::timeout(Duration::from_millis(200), late).await, Ok(Ok(_))) {
            break;
        }
    }
    assert!(!stopping.is_finished(), "a request is in flight");
    stream.write_all(b"56789").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(parse(&format!("{}{rest}", std::str::from_utf8(&head).unwrap())), (200, "0123456789".into()));
    stopping.await.unwrap().unwrap();
    let State::Exited { code, reason, .. } = bench.ended(&id).await.state else { unreachable!() };
    assert_eq!((code, reason.as_str()), (0, "Completed"));

    let (id, address) = bench.serve(&bench.many(), "shop", "spins").await;
    let spinning = tokio::spawn(async move { get(address, "/spin").await });
    while bench.runtime.usage().await.unwrap().iter().all(|(used, usage)| *used != id || usage.requests == 0) {
        tokio::task::yield_now().await;
    }
    bench.runtime.stop(&id, 50).await.unwrap();
    let State::Exited { code, .. } = bench.ended(&id).await.state else { unreachable!() };
    assert_eq!((code, spinning.await.unwrap().0), (137, 503), "the grace period is over");
    bench.clear().await;
}

pub async fn a_missing_import_is_named() {
    let bench = Bench::new().await;
    let wat = r#"(component (import "acme:db/sql@1.0.0" (instance)) (import "acme:queue/push@2.1.0" (instance)))"#;
    let image = bench.image(&wat::parse_str(wat).unwrap());
    let want = Err(Error::ImportUnsatisfied("acme:db/sql@1.0.0, acme:queue/push@2.1.0".into()));
    assert_eq!(bench.runtime.prepare(&image).await, want);
}

pub async fn logs_go_on_in_a_new_file() {
    let bench = Bench::new().await;
    let container = bench.container(&bench.many(), "shop", "many");
    let path = container.log_path.clone();
    let (id, address) = bench.serve_as(container).await;
    get(address, "/log-one").await;
    fs::rename(&path, path.with_extension("old")).unwrap();
    get(address, "/log-two").await;
    bench.runtime.reopen_log(&id, &path).await.unwrap();
    get(address, "/log-three").await;
    let paths = |file: &std::path::Path| {
        fs::read_to_string(file).unwrap().lines().map(|l| l.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((paths(&path.with_extension("old")), paths(&path)), (vec!["log-one".into(), "log-two".into()], vec!["log-three".into()]));
    bench.clear().await;
}
