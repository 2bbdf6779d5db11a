//! Matching as data: Ingresses in short, a request, and which Service's pod answers.
use super::*;
use crate::backends::tests::{service, slice};
use serde_json::{Value, json};

/// `host path type service` a rule; `default service` a default backend; `host -` a host without paths; `|` begins a younger Ingress.
fn ingresses(said: &str) -> Vec<Arc<Ingress>> {
    said.split('|').enumerate().map(|(age, said)| Arc::new(serde_json::from_value(ingress(age, said)).unwrap())).collect()
}

fn ingress(age: usize, said: &str) -> Value {
    let backend = |service: &str| json!({"service": {"name": service, "port": {"number": 80}}});
    let (mut rules, mut default) = (Vec::new(), Value::Null);
    for line in said.split(',').map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["default", service] => default = backend(service),
            [host, "-"] => rules.push(json!({"host": host})),
            [host, path, kind, service] => {
                let http = json!({"paths": [{"path": path, "pathType": kind, "backend": backend(service)}]});
                rules.push(if host == "any" { json!({"http": http}) } else { json!({"host": host, "http": http}) });
            }
            _ => panic!("{line}"),
        }
    }
    json!({"metadata": {"namespace": "default", "name": format!("i{age}"), "creationTimestamp": format!("2026-01-01T00:00:0{age}Z")},
        "spec": {"rules": rules, "defaultBackend": default}})
}

/// Services `a` to `d` have one pod each, 10.0.0.1 to 10.0.0.4; `none` has none.
fn table(said: &str) -> Table {
    let services: Vec<_> = ["a", "b", "c", "d", "none"].map(|name| service(name, json!({}))).into();
    let slices: Vec<_> = ["a", "b", "c", "d"].iter().enumerate().map(|(n, name)| slice(name, 8080, &format!("10.0.0.{}", n + 1))).collect();
    Table::compile(&ingresses(said), &backends::compile(&services, &slices, "n1"))
}

fn answers(table: &Table, request: &str) -> String {
    let (host, path) = request.split_at(request.find('/').unwrap());
    match table.find(host, path) {
        None => "404".into(),
        Some(upstream) => match upstream.in_turn().next() {
            None => "503".into(),
            Some(address) => char::from(b'a' + address.to_string().as_bytes()[7] - b'1').to_string(),
        },
    }
}

#[test]
fn finds_who_answers() {
    for (rules, requests) in [
        ("web.org / Prefix a", "web.org/=a web.org/x/y=a WEB.org/=a web.org./=a other.org/=404"),
        ("web.org /a Prefix a", "web.org/a=a web.org/a/=a web.org/a/b=a web.org/ab=404 web.org/=404"),
        ("web.org /a/ Prefix a", "web.org/a=a web.org/a/=a web.org/a/b=a web.org/ab=404"),
        ("web.org /a Exact a", "web.org/a=a web.org/a/=404 web.org/a/b=404"),
        ("web.org /a/ Exact a", "web.org/a=404 web.org/a/=a"),
        ("web.org /a ImplementationSpecific a", "web.org/a/b=a web.org/b=404"),
        ("web.org / Prefix a, web.org /x Prefix b, web.org /x/y Prefix c", "web.org/=a web.org/x=b web.org/x/z=b web.org/x/y/z=c"),
        ("web.org /x Prefix a, web.org /x Exact b", "web.org/x=b web.org/x/=a"),
        ("web.org / Prefix a | web.org / Prefix b", "web.org/=a"),
        ("web.org /x Prefix a | web.org / Prefix b", "web.org/=b web.org/x=a"),
        ("*.web.org / Prefix a", "x.web.org/=a web.org/=404 x.y.web.org/=404"),
        ("*.web.org / Prefix a, x.web.org / Prefix b", "x.web.org/=b y.web.org/=a"),
        ("any / Prefix a, x.web.org / Prefix b", "x.web.org/=b y.web.org/=a 127.0.0.1/=a"),
        ("default a", "x.org/=a x.org/y=a"),
        ("default a, web.org /x Prefix b", "web.org/x=b web.org/y=a other.org/=a"),
        ("default a, web.org -", "web.org/=a"),
        ("web.org -", "web.org/=404"),
        ("default a | default b", "x.org/=a"),
        ("web.org / Prefix none", "web.org/=503"),
        ("web.org / Prefix missing", "web.org/=503"),
        ("", "web.org/=404"),
    ] {
        let table = table(rules);
        for case in requests.split_whitespace() {
            let (request, expected) = case.split_once('=').unwrap();
            assert_eq!(answers(&table, request), expected, "{request} by {rules:?}");
        }
    }
}

#[test]
fn takes_its_class_and_no_other() {
    for (class, annotation, expected) in [
        (json!(null), None, true),
        (json!("knarr"), None, true),
        (json!("nginx"), None, false),
        (json!(null), Some("nginx"), false),
        (json!(null), Some("knarr"), true),
        (json!("knarr"), Some("nginx"), true),
    ] {
        let annotations = annotation.map(|class| json!({"kubernetes.io/ingress.class": class})).unwrap_or_default();
        let object = json!({"metadata": {"namespace": "n", "name": "i", "annotations": annotations}, "spec": {"ingressClassName": class}});
        let ingress: Ingress = serde_json::from_value(object).unwrap();
        assert_eq!(is_ours(&ingress), expected, "{class} {annotation:?}");
    }
}

#[test]
fn names_everybody_that_may_be_called() {
    let endpoints = table("web.org / Prefix a, default b, x.org / Prefix none").endpoints();
    assert_eq!(endpoints, ["10.0.0.1:8080", "10.0.0.2:8080"].map(|address| address.parse().unwrap()).into());
}

#[test]
fn takes_turns() {
    let slices = [slice("a", 8080, "10.0.0.1 10.0.0.2")];
    let table = Table::compile(&ingresses("any / Prefix a"), &backends::compile(&[service("a", json!({}))], &slices, "n1"));
    assert_eq!([0; 4].map(|_| answers(&table, "x/")).concat(), "abab");
}
