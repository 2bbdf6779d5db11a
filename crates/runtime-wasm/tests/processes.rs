//! The runtime with real processes. Started as `runner` or `compiler` this program is one; else it runs the cases, which are listed in `main`.
#![expect(clippy::unwrap_used, reason = "a test without a harness: clippy does not see that it is one")]
#[path = "processes/bench.rs"]
mod bench;
#[path = "processes/cases.rs"]
mod cases;
#[path = "processes/isolation.rs"]
mod isolation;
#[path = "processes/outgoing.rs"]
mod outgoing;

use std::{panic::AssertUnwindSafe, process::ExitCode};

macro_rules! all {
    ($($module:ident :: $case:ident),* $(,)?) => { &[$((stringify!($case), || Box::pin($module::$case()))),*] };
}

type Case = fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

const CASES: &[(&str, Case)] = all![
    cases::keeps_the_contract,
    cases::serves_http_with_keep_alive_and_streams,
    cases::a_trap_answers_500_and_ends_the_container,
    cases::over_its_memory_limit_a_container_is_oom_killed,
    cases::commands_have_arguments_environment_and_exit_codes,
    cases::commands_see_their_folders_and_nothing_else,
    cases::a_long_line_is_logged_in_parts,
    cases::a_command_that_never_ends_can_be_stopped,
    cases::a_busy_guest_starves_nobody_and_is_throttled,
    cases::stopping_waits_for_requests_in_flight,
    cases::a_missing_import_is_named,
    cases::logs_go_on_in_a_new_file,
    isolation::two_domains_are_two_processes_with_two_users,
    isolation::a_killed_runner_takes_only_its_own_containers,
    isolation::a_restarted_agent_adopts_its_runners,
    isolation::the_agent_never_maps_guest_code,
    isolation::changed_code_is_not_loaded,
    isolation::an_idle_runner_ends,
    isolation::an_idle_pod_is_small,
    outgoing::calls_in_the_same_runner_need_no_socket,
    outgoing::calls_elsewhere_go_through_the_agent,
    outgoing::what_is_not_routed_is_refused,
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("runner") => return knarr_runner::run_runner(arguments.collect()),
        Some("compiler") => return knarr_runner::run_compiler(arguments.collect()),
        _ => {}
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if std::env::args().any(|a| a == "--list") {
        CASES.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, case) in CASES.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str()))) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(case())));
        println!("test {name} ... {}", if ended.is_ok() { "ok" } else { "FAILED" });
        failed += u8::from(ended.is_err());
    }
    ExitCode::from(failed)
}
