//! Probes and lifecycle handlers.
use crate::field::{self, Wrong, text};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe};
use knarr_machinery::{FieldError, names};

pub(super) fn check_all(container: &Container, path: &str, wrong: &mut Wrong) {
    if let Some(lifecycle) = &container.lifecycle {
        for (part, handler) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
            if let Some(handler) = handler {
                check_handler(handler, &format!("{path}.lifecycle.{part}"), wrong);
            }
        }
    }
    for (part, probe) in [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ] {
        if let Some(probe) = probe {
            check(probe, part, &format!("{path}.{part}"), wrong);
        }
    }
}

/// An init container that ends is neither probed nor told of its life.
pub(super) fn forbid_all(container: &Container, path: &str, wrong: &mut Wrong) {
    for (part, given) in [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ] {
        if given {
            wrong.push(FieldError::forbidden(format!("{path}.{part}"), "may not be set for init containers without restartPolicy=Always"));
        }
    }
}

fn check(probe: &Probe, which: &str, path: &str, wrong: &mut Wrong) {
    let handler =
        LifecycleHandler { exec: probe.exec.clone(), http_get: probe.http_get.clone(), tcp_socket: probe.tcp_socket.clone(), sleep: None };
    if let Some(grpc) = &probe.grpc {
        field::port_number(wrong, &format!("{path}.grpc.port"), grpc.port);
        if probe.exec.is_some() || probe.http_get.is_some() || probe.tcp_socket.is_some() {
            wrong.push(FieldError::forbidden(format!("{path}.grpc"), "may not specify more than 1 handler type"));
        }
    } else {
        check_handler(&handler, path, wrong);
    }
    for (part, count) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        field::not_negative(wrong, &format!("{path}.{part}"), count);
    }
    if which != "readinessProbe" && probe.success_threshold.is_some_and(|count| count != 1) {
        wrong.push(FieldError::invalid(format!("{path}.successThreshold"), probe.success_threshold.unwrap_or_default(), "must be 1"));
    }
    if let Some(seconds) = probe.termination_grace_period_seconds {
        let at = format!("{path}.terminationGracePeriodSeconds");
        if which == "readinessProbe" {
            wrong.push(FieldError::invalid(at, seconds, "must not be set for readinessProbes"));
        } else if seconds <= 0 {
            wrong.push(FieldError::invalid(at, seconds, "must be greater than 0"));
        }
    }
}

fn check_handler(handler: &LifecycleHandler, path: &str, wrong: &mut Wrong) {
    let mut given = 0;
    let mut first = |part: &str, wrong: &mut Wrong| {
        given += 1;
        if given > 1 {
            wrong.push(FieldError::forbidden(format!("{path}.{part}"), "may not specify more than 1 handler type"));
        }
        given == 1
    };
    if let Some(exec) = &handler.exec
        && first("exec", wrong)
        && exec.command.as_ref().is_none_or(Vec::is_empty)
    {
        field::required(wrong, &format!("{path}.exec.command"));
    }
    if let Some(get) = &handler.http_get
        && first("httpGet", wrong)
    {
        check_http(get, &format!("{path}.httpGet"), wrong);
    }
    if let Some(socket) = &handler.tcp_socket
        && first("tcpSocket", wrong)
    {
        field::port(wrong, &format!("{path}.tcpSocket.port"), &socket.port);
    }
    if handler.sleep.is_some() {
        first("sleep", wrong);
    }
    if given == 0 {
        wrong.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn check_http(get: &HTTPGetAction, path: &str, wrong: &mut Wrong) {
    if text(&get.path).is_empty() {
        field::required(wrong, &format!("{path}.path"));
    }
    field::port(wrong, &format!("{path}.port"), &get.port);
    field::one_of(wrong, &format!("{path}.scheme"), text(&get.scheme), &["HTTP", "HTTPS"]);
    for header in get.http_headers.iter().flatten() {
        field::named(wrong, &format!("{path}.httpHeaders"), &header.name, names::is_http_header_name);
    }
}
