//! Calls of guests: in the same runner, through the agent, and those that are refused.
use crate::bench::{Bench, get};
use knarr_runtime::{AddressRange, Endpoint, Pending, PortRoute, Routes, Runtime, ServiceRoute};
use knarr_runtime_wasm::{Connect, HostConnect};
use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

#[derive(Default)]
struct Counting(AtomicUsize);

impl Connect for Counting {
    fn connect(&self, address: SocketAddr) -> Pending<'_, io::Result<OwnedFd>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        HostConnect.connect(address)
    }
}

fn service(name: &str, endpoints: Vec<Endpoint>) -> ServiceRoute {
    ServiceRoute {
        namespace: "shop".into(),
        name: name.into(),
        cluster_ip: Some("10.96.0.7".parse().unwrap()),
        ports: vec![PortRoute { port: 80, endpoints }],
    }
}

fn routes(version: u64, services: Vec<ServiceRoute>) -> Arc<Routes> {
    Arc::new(Routes { version, cluster_domain: "cluster.local".into(), services, reachable: vec![] })
}

/// The number of the first answer that is not a refusal: tables reach a runner some moments after they are given.
async fn settled(address: SocketAddr, path: &str, want: &str) {
    let asking = async {
        loop {
            let (status, body) = get(address, path).await;
            assert_eq!(status, 200);
            if body == want {
                return;
            }
            assert!(body.starts_with("error "), "{body}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), asking).await.unwrap_or_else(|_| panic!("{path} never answered {want:?}"));
}

pub async fn calls_in_the_same_runner_need_no_socket() {
    let counting = Arc::new(Counting::default());
    let bench = Bench::with(|config| config.connect = counting.clone()).await;
    let (_, caller) = bench.serve(&bench.many(), "shop", "caller").await;
    let (_, web) = bench.serve(&bench.hello(), "shop", "web-0").await;
    bench.runtime.route("shop", routes(1, vec![service("web", vec![Endpoint::Here { pod_uid: "shop-web-0".into(), address: web }])]));
    let want = "hello from web-0, path /from-a-guest\n";
    for name in ["web", "web.shop", "web.shop.svc.cluster.local:80", "10.96.0.7"] {
        settled(caller, &format!("/out/{name}"), want).await;
    }
    assert_eq!(counting.0.load(Ordering::Relaxed), 0);
    bench.clear().await;
}

pub async fn calls_elsewhere_go_through_the_agent() {
    let counting = Arc::new(Counting::default());
    let bench = Bench::with(|config| config.connect = counting.clone()).await;
    let (_, caller) = bench.serve(&bench.many(), "shop", "caller").await;
    let (_, web) = bench.serve(&bench.hello(), "bank", "web-0").await;
    bench.runtime.route("shop", routes(1, vec![service("web", vec![Endpoint::Address(web)])]));
    settled(caller, "/out/web", "hello from web-0, path /from-a-guest\n").await;
    assert_eq!(counting.0.load(Ordering::Relaxed), 1);
    let reachable = vec![AddressRange { first: "127.0.0.1".parse().unwrap(), last: "127.0.0.1".parse().unwrap() }];
    bench.runtime.route("shop", Arc::new(Routes { reachable, ..(*routes(2, vec![])).clone() }));
    settled(caller, &format!("/out/{web}"), "hello from web-0, path /from-a-guest\n").await;
    bench.clear().await;
}

/// The numbers are the cases of `wasi:http/types.error-code`.
pub async fn what_is_not_routed_is_refused() {
    let bench = Bench::new().await;
    let (_, caller) = bench.serve(&bench.many(), "shop", "caller").await;
    bench.runtime.route("shop", routes(1, vec![service("empty", vec![])]));
    settled(caller, "/out/empty", "error 6").await;
    for (authority, want) in [
        ("nobody", "error 1"),
        ("example.com", "error 1"),
        ("127.0.0.1:22", "error 4"),
        ("169.254.169.254", "error 4"),
        ("[::1]:80", "error 4"),
        ("empty:81", "error 6"),
    ] {
        assert_eq!(get(caller, &format!("/out/{authority}")).await, (200, want.into()), "{authority}");
    }
    bench.clear().await;
}
