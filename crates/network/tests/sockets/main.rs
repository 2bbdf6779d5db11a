//! A node's network for real: each case runs in a process of its own, in network, mount and user namespaces of its own that end with it.
//!
//! A harness of our own, because a user namespace can only be entered while a process has a single thread. As root each case runs twice: with root's own
//! privileges and with those of a user namespace; otherwise only the latter. Nothing is ever skipped.
#![allow(clippy::unwrap_used, reason = "a test without #[test]")]
mod host;
mod ingress;
mod pods;
mod services;
mod world;

use nix::{
    mount::MsFlags,
    sched::{CloneFlags, unshare},
    unistd::{getegid, geteuid},
};
use std::{
    fs,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

const CASES: &[(&str, fn())] = &[
    ("a_host_service_and_a_pod_keep_apart", pods::keeps_host_and_pods_apart),
    ("an_unbound_pod_address_refuses", pods::refuses_where_nobody_listens),
    ("a_listener_outlives_its_container_and_its_agent", pods::keeps_listeners),
    ("addresses_come_from_the_range", pods::claims_addresses),
    ("works_with_loopback_addresses_alone", pods::works_on_loopback),
    ("a_second_agent_on_one_folder_is_refused", pods::holds_its_folder),
    ("two_nodes_on_one_machine_reach_each_other", host::joins_two_nodes),
    ("takes_over_services_from_a_stopped_node", host::takes_over_services),
    ("buries_nodes_whose_folder_is_gone", host::buries_the_gone),
    ("leaves_nothing_behind", host::leaves_nothing),
    ("follows_the_range_that_the_server_gives", host::follows_the_range),
    ("routes_to_other_nodes_and_back_out", host::routes_to_peers),
    ("a_cluster_ip_answers_from_host_and_pods", services::answers_on_cluster_ips),
    ("a_cluster_ip_without_endpoints_refuses", services::refuses_without_endpoints),
    ("a_node_port_answers_on_the_host", services::answers_on_node_ports),
    ("a_taken_node_port_is_told_and_tried_again", services::tells_of_taken_ports),
    ("runners_get_their_routes", services::pushes_routes),
    ("an_endpoint_outside_is_called_from_the_host", services::calls_the_host),
    ("the_ingress_forwards_by_host_and_path", ingress::forwards),
    ("the_ingress_speaks_tls_and_http2", ingress::speaks_tls),
    ("no_request_fails_while_pods_are_replaced", ingress::replaces_pods),
    ("a_connection_that_a_pod_closed_is_not_noticed", ingress::survives_closed_connections),
    ("a_connection_may_change_its_protocol", ingress::upgrades),
    ("the_ingress_says_where_it_answers", ingress::writes_status),
    ("a_taken_ingress_port_is_an_error", ingress::refuses_taken_ports),
];

/// The one case that must not have a mount namespace.
const WITHOUT_MOUNTS: (&str, fn()) = ("works_where_nothing_can_be_mounted", pods::works_without_mounts);

#[derive(Debug, Clone, Copy, PartialEq)]
enum As {
    Root,
    User,
    UserWithoutMounts,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, variant] = &args[..]
        && flag == "--in-namespaces"
    {
        return inside(name, variant);
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-')).map(String::as_str).unwrap_or_default();
    let all: Vec<_> = runs().into_iter().filter(|(name, _)| name.contains(filter)).collect();
    if args.iter().any(|arg| arg == "--list") {
        all.iter().for_each(|(name, variant)| println!("{name}::{variant:?}: test"));
        return ExitCode::SUCCESS;
    }
    let failed: Vec<_> = all.iter().filter(|(name, variant)| !passes(name, *variant)).collect();
    println!("\n{} passed; {} failed", all.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn runs() -> Vec<(&'static str, As)> {
    let variants: &[As] = if geteuid().is_root() { &[As::Root, As::User] } else { &[As::User] };
    let mut runs: Vec<_> = CASES.iter().flat_map(|(name, _)| variants.iter().map(move |variant| (*name, *variant))).collect();
    runs.push((WITHOUT_MOUNTS.0, As::UserWithoutMounts));
    runs
}

fn passes(name: &str, variant: As) -> bool {
    let program = std::env::current_exe().unwrap();
    let run = Command::new(program).args(["--in-namespaces", name, &format!("{variant:?}")]).stdin(Stdio::null()).output().unwrap();
    println!("test {name}::{variant:?} ... {}", if run.status.success() { "ok" } else { "FAILED" });
    if !run.status.success() {
        println!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    }
    run.status.success()
}

fn inside(name: &str, variant: &str) -> ExitCode {
    let (user, mounts) = match variant {
        "Root" => (false, true),
        "User" => (true, true),
        _ => (true, false),
    };
    isolate(user, mounts);
    let case = CASES.iter().chain([&WITHOUT_MOUNTS]).find(|(known, _)| *known == name).unwrap().1;
    // A case that hangs is a case that fails.
    let (done, wait) = std::sync::mpsc::channel();
    let body = std::thread::spawn(move || {
        world::up_loopback();
        case();
        done.send(()).unwrap();
    });
    match wait.recv_timeout(Duration::from_secs(60)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => {
            eprintln!("{name}: {}", if body.is_finished() { "panicked" } else { "hangs" });
            ExitCode::FAILURE
        }
    }
}

/// Takes this process, which has one thread still, out of the machine's namespaces.
fn isolate(user: bool, mounts: bool) {
    let (uid, gid) = (geteuid(), getegid());
    let mut flags = CloneFlags::CLONE_NEWNET;
    flags.set(CloneFlags::CLONE_NEWUSER, user);
    flags.set(CloneFlags::CLONE_NEWNS, mounts);
    unshare(flags).expect("namespaces of its own (user namespaces must be allowed where the test is not root)");
    if user {
        fs::write("/proc/self/setgroups", "deny").unwrap();
        fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
        fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
    }
    if mounts {
        let none = None::<&str>;
        nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        nix::mount::mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
    }
}
