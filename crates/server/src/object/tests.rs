use super::*;

const NOW: &str = "2026-01-02T03:04:05Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

#[test]
fn a_new_object_gets_what_only_the_server_says() {
    let mut object = json!({"metadata": {"name": "a", "creationTimestamp": null, "generation": 7, "deletionTimestamp": NOW, "uid": "theirs", "managedFields": []}});
    stamp_new(&mut object, true, "ours", now()).unwrap();
    assert_eq!(object["metadata"], json!({"name": "a", "creationTimestamp": NOW, "generation": 1, "uid": "ours", "resourceVersion": ""}));
}

#[test]
fn a_new_object_has_no_version_yet() {
    let refused = stamp_new(&mut json!({"metadata": {"resourceVersion": "5"}}), false, "u", now()).unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (500, "resourceVersion should not be set on objects to be created"));
}

#[test]
fn an_update_keeps_what_it_may_not_change() {
    let old = json!({"metadata": {"name": "a", "uid": "u", "creationTimestamp": NOW, "generation": 3, "deletionTimestamp": NOW, "resourceVersion": "9"}});
    let mut new = json!({"metadata": {"name": "a", "generation": 1, "creationTimestamp": "1999-01-01T00:00:00Z"}});
    stamp_update(&mut new, &old).unwrap();
    let mut expected = old.clone();
    expected["metadata"]["resourceVersion"] = json!("");
    assert_eq!(new, expected);
}

#[test]
fn the_url_says_where_an_object_lives() {
    let check = |mut object: Value, namespaced, expected: Result<&str, &str>| {
        let placed = place(&mut object, namespaced, "ns", "a").map(|()| object["metadata"]["namespace"].as_str().unwrap_or_default());
        assert_eq!(placed.map_err(|status| status.message), expected.map_err(str::to_owned), "{object}");
    };
    check(json!({"metadata": {"name": "a"}}), Namespaced::Yes, Ok("ns"));
    check(json!({"metadata": {"name": "a", "namespace": "ns"}}), Namespaced::Yes, Ok("ns"));
    check(json!({"metadata": {"name": "a", "namespace": "any"}}), Namespaced::No, Ok(""));
    let other = "the namespace of the provided object does not match the namespace sent on the request";
    check(json!({"metadata": {"name": "a", "namespace": "other"}}), Namespaced::Yes, Err(other));
    check(json!({}), Namespaced::Yes, Err("the name of the object (a based on URL) was undeterminable: name must be provided"));
    check(json!({"metadata": {"name": "b"}}), Namespaced::Yes, Err("the name of the object (b) does not match the name on the URL (a)"));
}

#[test]
fn a_version_that_is_named_must_fit() {
    let old = json!({"metadata": {"resourceVersion": "7"}});
    let check = |said: &str, expected: Result<(), u16>| {
        let asked = json!({"metadata": {"resourceVersion": said}});
        assert_eq!(check_version(&asked, &old, &GroupResource::new("", "pods"), "a").map_err(|s| s.code), expected, "{said}");
    };
    check("", Ok(()));
    check("0", Ok(()));
    check("7", Ok(()));
    check("6", Err(409));
    check("abc", Err(500));
}

#[test]
fn status_and_the_rest_stay_apart() {
    let old = json!({"metadata": {"name": "a"}, "spec": 1, "status": 1});
    let new = json!({"metadata": {"name": "a", "labels": {"l": "m"}}, "spec": 2, "status": 2});
    let mut main = new.clone();
    keep_status(&mut main, Some(&old));
    assert_eq!((&main["spec"], &main["status"]), (&json!(2), &json!(1)));
    let status = only_status(new, &old);
    assert_eq!((&status["spec"], &status["status"], &status["metadata"]["labels"]["l"]), (&json!(1), &json!(2), &json!("m")));
    let mut fresh = json!({"status": 1});
    keep_status(&mut fresh, None);
    assert_eq!(fresh, json!({}));
}

#[test]
fn owners_named_twice_count_once() {
    let mut object =
        json!({"metadata": {"ownerReferences": [{"uid": "u", "name": "a"}, {"uid": "v", "name": "b"}, {"uid": "u", "name": "a"}]}});
    assert!(unite_owners(&mut object).unwrap().ends_with("duplicate UID(s) observed: u"));
    assert_eq!(object["metadata"]["ownerReferences"].as_array().unwrap().len(), 2);
    assert_eq!(unite_owners(&mut object), None);
}

#[test]
fn a_body_may_leave_out_its_kind_but_not_name_another() {
    let pods = Kind::of::<k8s_openapi::api::core::v1::Pod>();
    let check = |mut body: Value, code: u16| assert_eq!(check_type(&mut body, &pods).map_or_else(|s| s.code, |()| 200), code, "{body}");
    check(json!({}), 200);
    check(json!({"apiVersion": "v1", "kind": "Pod"}), 200);
    check(json!({"apiVersion": "v1", "kind": "Node"}), 400);
    check(json!({"apiVersion": "v2", "kind": "Pod"}), 400);
}
