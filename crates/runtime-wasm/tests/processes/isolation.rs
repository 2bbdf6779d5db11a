//! Processes: who shares one, what their ends mean, and what outlives the agent.
use crate::bench::{Bench, get, status};
use knarr_runtime::{Runtime, State};
use std::{fs, time::Duration};

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

pub async fn two_domains_are_two_processes_with_two_users() {
    let bench = Bench::new().await;
    let image = bench.hello();
    let (_, a) = bench.serve(&image, "shop", "web").await;
    let (_, b) = bench.serve(&image, "bank", "web").await;
    bench.serve(&image, "shop", "web-1").await;
    assert_eq!((get(a, "/").await.0, get(b, "/").await.0), (200, 200));
    let (shop, bank) = (bench.runner("shop").unwrap(), bench.runner("bank").unwrap());
    assert_ne!(shop, bank);
    for pid in [shop, bank] {
        assert_eq!(status(pid, "NoNewPrivs"), 1);
        assert_eq!(status(pid, "Seccomp"), 2, "a filter");
        assert!(fs::read(format!("/proc/{pid}/environ")).unwrap_or_default().is_empty(), "no environment");
    }
    if rustix::process::getuid().is_root() {
        let users = (status(shop, "Uid"), status(bank, "Uid"));
        assert!(users.0 != users.1 && users.0 > u64::from(bench.config.uid_base), "{users:?}");
        let text = fs::read_to_string(format!("/proc/{shop}/status")).unwrap();
        let none = |field: &str| {
            text.lines().any(|l| {
                l.strip_prefix(field)
                    .is_some_and(|v| v.trim() == ":\t0000000000000000" || v.trim_start_matches(':').trim() == "0000000000000000")
            })
        };
        assert!(["CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd"].into_iter().all(none), "{text}");
        let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        assert_ne!(network(&shop.to_string()), network("self"), "a network of its own");
    }
    bench.clear().await;
}

pub async fn a_killed_runner_takes_only_its_own_containers() {
    let bench = Bench::new().await;
    let image = bench.hello();
    let (lost, _) = bench.serve(&image, "shop", "web").await;
    let (kept, other) = bench.serve(&image, "bank", "web").await;
    kill(bench.runner("shop").unwrap());
    let State::Exited { code, reason, message, .. } = bench.ended(&lost).await.state else { unreachable!() };
    assert_eq!((code, reason.as_str()), (137, "Error"));
    assert!(message.contains("the runner of shop ended") && message.contains("signal: 9"), "{message}");
    assert_eq!(get(other, "/").await.0, 200);
    let seen = bench.runtime.observe().await.unwrap();
    assert!(seen.iter().any(|o| o.id == kept && matches!(o.state, State::Running { .. })));
    let (_, again) = bench.serve(&image, "shop", "web-again").await;
    assert_eq!(get(again, "/").await.0, 200, "the next start has a new runner");
    bench.clear().await;
}

pub async fn a_restarted_agent_adopts_its_runners() {
    let bench = Bench::new().await;
    let image = bench.hello();
    let (id, address) = bench.serve(&image, "shop", "web").await;
    let pid = bench.runner("shop").unwrap();
    let bench = bench.reopen().await;
    assert_eq!(get(address, "/").await.0, 200, "requests go on");
    let seen = bench.runtime.observe().await.unwrap();
    assert!(matches!(seen.as_slice(), [only] if only.id == id && matches!(only.state, State::Running { .. })), "{seen:?}");
    let held = bench.runtime.listeners().await.unwrap();
    let (name, socket) = held.into_iter().next().unwrap();
    let socket = std::net::TcpListener::from(socket);
    assert_eq!((name.pod_uid.as_str(), name.listen.address, socket.local_addr().unwrap()), ("shop-web", address, address));
    let (_, second) = bench.serve(&image, "shop", "web-1").await;
    assert_eq!((get(second, "/").await.0, bench.runner("shop")), (200, Some(pid)), "in the same runner");
    // A runner that is nobody's child is missed, too.
    kill(pid);
    let State::Exited { code, message, .. } = bench.ended(&id).await.state else { unreachable!() };
    assert!(code == 137 && message.contains("the runner of shop ended"), "{message}");
    bench.clear().await;
}

pub async fn the_agent_never_maps_guest_code() {
    let bench = Bench::new().await;
    let (_, address) = bench.serve(&bench.hello(), "shop", "web").await;
    assert_eq!(get(address, "/").await.0, 200);
    let cache = bench.config.data_dir.join("code");
    let maps = |pid: &str| fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().contains(cache.to_str().unwrap());
    assert!(!maps("self"), "the agent's maps name the code cache");
    assert!(maps(&bench.runner("shop").unwrap().to_string()), "the runner's do: else this test could not fail");
    bench.clear().await;
}

pub async fn changed_code_is_not_loaded() {
    let bench = Bench::new().await;
    let image = bench.hello();
    bench.runtime.prepare(&image).await.unwrap();
    let entries = fs::read_dir(bench.config.data_dir.join("code")).unwrap().flatten().map(|e| e.path());
    let path = entries.into_iter().find(|path| path.extension().is_some_and(|end| end == "code")).unwrap();
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 0x40;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bad).unwrap();
    let (_, address) = bench.serve(&image, "shop", "web").await;
    assert_eq!(get(address, "/").await.0, 200);
    assert_ne!(fs::read(&path).unwrap(), bad, "the entry was thrown away and compiled again");
    bench.clear().await;
}

pub async fn an_idle_runner_ends() {
    let bench = Bench::with(|config| config.idle_limit = Duration::from_millis(300)).await;
    let image = bench.hello();
    let (id, _) = bench.serve(&image, "shop", "web").await;
    bench.runtime.stop(&id, 0).await.unwrap();
    bench.runtime.remove(&id).await.unwrap();
    let gone = async {
        while bench.runner("shop").is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the runner ends by itself");
    let (_, address) = bench.serve(&image, "shop", "again").await;
    assert_eq!(get(address, "/").await.0, 200, "and comes back when it is needed");
    bench.clear().await;
}

pub async fn an_idle_pod_is_small() {
    const PODS: u64 = 300;
    let bench = Bench::new().await;
    let image = bench.hello();
    let (_, first) = bench.serve(&image, "shop", "first").await;
    assert_eq!(get(first, "/").await.0, 200);
    let pid = bench.runner("shop").unwrap();
    let resident = || status(pid, "RssAnon") + status(std::process::id(), "RssAnon");
    let before = resident();
    let mut last = first;
    for n in 0..PODS {
        last = bench.serve(&image, "shop", &format!("web-{n}")).await.1;
    }
    let each_kib = (resident() - before) / PODS;
    println!("an idle pod takes {each_kib} KiB of the runner and the agent together");
    assert!(each_kib < 30, "{each_kib} KiB");
    assert_eq!(get(last, "/").await.0, 200);
    bench.clear().await;
}
