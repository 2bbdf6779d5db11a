//! The query of a request: `?labelSelector=...&limit=500`. Read once, checked where it is used. Pure.
use crate::request::decode;
use knarr_cluster::{FieldValidation, Options, Propagation};
use knarr_machinery::{FieldError, Revision, Status};
use serde_json::Value;

#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        });
        Self(pairs.collect())
    }

    /// The first value; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// Everything but `false` and `0` is true, as on a real server; so is a parameter without a value.
    pub fn is_true(&self, name: &str) -> bool {
        self.has(name) && !matches!(self.get(name).to_ascii_lowercase().as_str(), "false" | "0")
    }

    /// A number; what is none counts as absent.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name).parse().ok()
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The options of a create, update or patch. `agent` is the User-Agent, the manager of who names none.
    pub fn write_options(&self, options: &str, agent: &str) -> Result<Options, Status> {
        let mut wrong = vec![];
        let dry_run = dry_run(self.0.iter().filter(|(name, _)| name == "dryRun").map(|(_, value)| value.as_str()), &mut wrong);
        let field_validation = match self.get("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                wrong.push(FieldError::not_supported("fieldValidation", other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        let manager =
            Some(self.get("fieldManager")).filter(|m| !m.is_empty()).unwrap_or_else(|| agent.split('/').next().unwrap_or_default());
        refuse(options, &wrong)?;
        Ok(Options { dry_run, field_manager: Some(manager.into()), field_validation, force: self.is_true("force"), ..Options::default() })
    }

    /// The options of a delete: of the body where there is one, else of the query.
    pub fn delete_options(&self, body: Option<&Value>) -> Result<Options, Status> {
        let Some(body) = body else {
            let body = serde_json::json!({
                "gracePeriodSeconds": self.number("gracePeriodSeconds"),
                "propagationPolicy": Some(self.get("propagationPolicy")).filter(|p| !p.is_empty()),
                "orphanDependents": self.has("orphanDependents").then(|| self.is_true("orphanDependents")),
                "dryRun": self.0.iter().filter(|(name, _)| name == "dryRun").map(|(_, value)| value).collect::<Vec<_>>(),
            });
            return delete_options(&body);
        };
        delete_options(body)
    }

    /// The revision that `resourceVersion` names; none where it is empty or 0.
    pub fn revision(&self) -> Result<Option<Revision>, Status> {
        match self.get("resourceVersion") {
            "" | "0" => Ok(None),
            text => text.parse().map(|number| Some(Revision(number))).map_err(|_| {
                let why = format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax");
                Status::new(500, knarr_machinery::Reason::Unknown, why)
            }),
        }
    }
}

fn dry_run<'a>(values: impl Iterator<Item = &'a str>, wrong: &mut Vec<FieldError>) -> bool {
    let values: Vec<_> = values.filter(|value| !value.is_empty()).collect();
    if values.iter().any(|value| *value != "All") {
        wrong.push(FieldError::not_supported("dryRun", serde_json::json!(values), &["All"]));
    }
    !values.is_empty()
}

fn delete_options(body: &Value) -> Result<Options, Status> {
    let mut wrong = vec![];
    let dry_run = dry_run(body["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str), &mut wrong);
    let said = body["propagationPolicy"].as_str();
    let mut propagation = match said {
        None => None,
        Some("Background") => Some(Propagation::Background),
        Some("Foreground") => Some(Propagation::Foreground),
        Some("Orphan") => Some(Propagation::Orphan),
        Some(other) => {
            wrong.push(FieldError::not_supported("propagationPolicy", other, &["Foreground", "Background", "Orphan", "nil"]));
            None
        }
    };
    match (body["orphanDependents"].as_bool(), said) {
        (Some(_), Some(said)) => {
            wrong.push(FieldError::invalid("propagationPolicy", said, "orphanDependents and deletionPropagation cannot be both set"));
        }
        (Some(true), None) => propagation = Some(Propagation::Orphan),
        (Some(false), None) => propagation = Some(Propagation::Background),
        (None, _) => {}
    }
    refuse("DeleteOptions", &wrong)?;
    let preconditions = knarr_cluster::Preconditions {
        uid: body["preconditions"]["uid"].as_str().map(str::to_owned),
        resource_version: body["preconditions"]["resourceVersion"].as_str().and_then(|v| v.parse().ok()).map(Revision),
    };
    Ok(Options { dry_run, propagation, grace_period_seconds: body["gracePeriodSeconds"].as_i64(), preconditions, ..Options::default() })
}

/// Options are objects of a group of their own, and refused like any.
pub fn refuse(options: &str, wrong: &[FieldError]) -> Result<(), Status> {
    if wrong.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", options, "", wrong)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&watch&x=1+2&follow=false&maybe=maybe");
        assert_eq!((query.get("labelSelector"), query.get("x"), query.get("none")), ("a=b,c", "1 2", ""));
        assert_eq!(["watch", "follow", "maybe", "none"].map(|name| query.is_true(name)), [true, false, true, false]);
    }

    #[test]
    fn wrong_options_are_refused_in_a_real_servers_words() {
        let check = |query: &str, body: Option<Value>, said: &str| {
            assert_eq!(Query::parse(query).delete_options(body.as_ref()).unwrap_err().message, said)
        };
        let unknown = r#"DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Sideways": supported values: "Foreground", "Background", "Orphan", "nil""#;
        check("propagationPolicy=Sideways", None, unknown);
        check("", Some(json!({"propagationPolicy": "Sideways"})), unknown);
        let both = r#"DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set"#;
        check("", Some(json!({"propagationPolicy": "Orphan", "orphanDependents": true})), both);
        let dry = r#"DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Nope"]: supported values: "All""#;
        check("", Some(json!({"dryRun": ["Nope"]})), dry);
        check("dryRun=Nope", None, dry);
    }

    #[test]
    fn a_body_takes_the_place_of_the_query() {
        let query = Query::parse("dryRun=All&gracePeriodSeconds=5");
        assert!(query.delete_options(None).unwrap().dry_run);
        let options = query.delete_options(Some(&json!({"orphanDependents": true}))).unwrap();
        assert_eq!((options.dry_run, options.grace_period_seconds, options.propagation), (false, None, Some(Propagation::Orphan)));
    }

    #[test]
    fn the_user_agent_names_who_does_not_say() {
        let manager =
            |query: &str| Query::parse(query).write_options("CreateOptions", "kubectl/v1.33 (linux)").unwrap().field_manager.unwrap();
        assert_eq!((manager("").as_str(), manager("fieldManager=me").as_str()), ("kubectl", "me"));
    }

    #[test]
    fn versions_are_numbers() {
        let check = |text: &str, expected: Result<Option<u64>, u16>| {
            let found = Query::parse(&format!("resourceVersion={text}")).revision();
            assert_eq!(found.map(|r| r.map(|r| r.0)).map_err(|s| s.code), expected);
        };
        check("", Ok(None));
        check("0", Ok(None));
        check("7", Ok(Some(7)));
        check("-5", Err(500));
    }
}
