//! `LabelSelector`: the selector that stands in objects' specs.
use crate::{
    FieldError, names,
    selector::{Labels, Operator, Requirement},
};
use serde::{Deserialize, Serialize};
use std::{borrow::Borrow, collections::BTreeMap};

/// The API's object. Both parts must hold; an empty selector selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_labels: Option<BTreeMap<Box<str>, Box<str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_expressions: Option<Vec<Expression>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Expression {
    pub key: Box<str>,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`; anything else selects nothing.
    pub operator: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Box<str>>>,
}

impl LabelSelector {
    pub fn is_empty(&self) -> bool {
        self.match_labels.as_ref().is_none_or(BTreeMap::is_empty) && self.match_expressions.as_ref().is_none_or(Vec::is_empty)
    }

    pub fn matches<K: Borrow<str> + Ord, V: AsRef<str>>(&self, labels: &BTreeMap<K, V>) -> bool {
        self.labels().all(|(key, value)| labels.get(key).is_some_and(|have| have.as_ref() == value))
            && self.expressions().iter().all(|e| e.matches(labels.get(&*e.key).map(AsRef::as_ref)))
    }

    /// What is wrong with it, under the path at which it stands.
    pub fn check(&self, path: &str) -> Vec<FieldError> {
        let mut wrong = vec![];
        for (key, value) in self.labels() {
            let path = format!("{path}.matchLabels");
            wrong.extend(names::is_qualified_name(key).into_iter().map(|m| FieldError::invalid(&path, key, m)));
            wrong.extend(names::is_label_value(value).into_iter().map(|m| FieldError::invalid(&path, value, m)));
        }
        for (at, expression) in self.expressions().iter().enumerate() {
            expression.check(&format!("{path}.matchExpressions[{at}]"), &mut wrong);
        }
        wrong
    }

    /// The same as a string selector, as `/scale` reports it. None when an operator is unknown.
    pub fn to_labels(&self) -> Option<Labels> {
        let equals = |(key, value): (&str, &str)| Requirement { key: key.into(), operator: Operator::Equals, values: vec![value.into()] };
        let mut requirements: Vec<_> = self.labels().map(equals).collect();
        for expression in self.expressions() {
            let values = expression.values.clone().unwrap_or_default();
            requirements.push(Requirement { key: expression.key.clone(), operator: expression.operator()?, values });
        }
        Some(Labels::new(requirements))
    }

    fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.match_labels.iter().flatten().map(|(k, v)| (&**k, &**v))
    }

    fn expressions(&self) -> &[Expression] {
        self.match_expressions.as_deref().unwrap_or_default()
    }
}

impl Expression {
    fn operator(&self) -> Option<Operator> {
        Some(match &*self.operator {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        })
    }

    fn matches(&self, have: Option<&str>) -> bool {
        let listed = |have: &str| self.values.iter().flatten().any(|v| &**v == have);
        match self.operator() {
            Some(Operator::In) => have.is_some_and(listed),
            Some(Operator::NotIn) => !have.is_some_and(listed),
            Some(Operator::Exists) => have.is_some(),
            Some(Operator::DoesNotExist) => have.is_none(),
            _ => false,
        }
    }

    fn check(&self, path: &str, wrong: &mut Vec<FieldError>) {
        let values = self.values.as_deref().unwrap_or_default();
        match self.operator() {
            Some(Operator::In | Operator::NotIn) if values.is_empty() => {
                wrong.push(FieldError::required(format!("{path}.values"), "must be specified when `operator` is 'In' or 'NotIn'"));
            }
            Some(Operator::Exists | Operator::DoesNotExist) if !values.is_empty() => {
                wrong.push(FieldError::forbidden(
                    format!("{path}.values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                ));
            }
            None => wrong.push(FieldError::invalid(format!("{path}.operator"), &*self.operator, "not a valid selector operator")),
            _ => {}
        }
        wrong.extend(names::is_qualified_name(&self.key).into_iter().map(|m| FieldError::invalid(format!("{path}.key"), &*self.key, m)));
        for (at, value) in values.iter().enumerate() {
            wrong
                .extend(names::is_label_value(value).into_iter().map(|m| FieldError::invalid(format!("{path}.values[{at}]"), &**value, m)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn selector(value: Value) -> LabelSelector {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn selects_what_meets_every_demand() {
        let labels = BTreeMap::from([("app", "web"), ("tier", "front")]);
        for (spec, expected) in [
            (json!({}), true),
            (json!({"matchLabels": {"app": "web"}}), true),
            (json!({"matchLabels": {"app": "web", "tier": "back"}}), false),
            (json!({"matchLabels": {"none": ""}}), false),
            (json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "web"]}]}), true),
            (json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}), false),
            (json!({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["web"]}]}), true),
            (json!({"matchExpressions": [{"key": "app", "operator": "Exists"}, {"key": "x", "operator": "DoesNotExist"}]}), true),
            (json!({"matchLabels": null, "matchExpressions": [{"key": "app", "operator": "Is"}]}), false),
        ] {
            assert_eq!(selector(spec.clone()).matches(&labels), expected, "{spec}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_selector() {
        for (spec, words) in [
            (
                json!({"matchExpressions": [{"key": "a", "operator": "In", "values": []}]}),
                "s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
                "s.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Is"}]}),
                "s.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
            ),
        ] {
            let wrong: Vec<_> = selector(spec).check("s").iter().map(ToString::to_string).collect();
            assert_eq!(wrong, [words]);
        }
    }

    #[test]
    fn is_written_as_a_string() {
        let spec = json!({"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["y", "x"]}, {"key": "d", "operator": "Exists"}]});
        assert_eq!(selector(spec).to_labels().unwrap().to_string(), "a=2,b=1,c notin (x,y),d");
    }
}
