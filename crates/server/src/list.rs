//! Lists: what a collection holds now, held at a revision, or page by page.
use crate::{
    continuation::Continuation,
    query::{Query, refuse},
    selection::Selection,
    state::State,
};
use knarr_cluster::Entry;
use knarr_kinds::Kind;
use knarr_machinery::{Details, FieldError, GroupResource, Reason, Revision, Status, table::ListMeta};
use knarr_store::{Error, Page as StorePage};
use std::{sync::Arc, time::Duration};

/// How long a request waits for a revision that is ahead of this process.
const AHEAD_PATIENCE: Duration = Duration::from_secs(3);

pub struct Listed {
    pub entries: Vec<Arc<Entry>>,
    pub meta: ListMeta,
}

/// Checks the parts of a list's query that depend on each other.
pub fn check_options(query: &Query, watches: bool) -> Result<(), Status> {
    let (matching, version) = (query.get("resourceVersionMatch"), query.get("resourceVersion"));
    let mut wrong = vec![];
    let forbidden = |field: &str, why: &str| FieldError::forbidden(field, why);
    if query.has("sendInitialEvents") {
        if !watches {
            wrong.push(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        } else {
            if matching != "NotOlderThan" {
                wrong.push(forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
            }
            if !matches!(matching, "" | "NotOlderThan") {
                wrong.push(FieldError::not_supported("resourceVersionMatch", matching, &["NotOlderThan"]));
            }
        }
        return refuse("ListOptions", &wrong);
    }
    if watches {
        if !query.get("continue").is_empty() {
            wrong.push(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
        } else if !matching.is_empty() {
            wrong.push(forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        return refuse("ListOptions", &wrong);
    }
    match matching {
        "" => {}
        "Exact" | "NotOlderThan" if version.is_empty() => {
            wrong.push(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"));
        }
        "Exact" if version == "0" => {
            wrong.push(forbidden("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
        }
        "Exact" | "NotOlderThan" => {}
        other => wrong.push(FieldError::not_supported("resourceVersionMatch", other, &["Exact", "NotOlderThan", ""])),
    }
    refuse("ListOptions", &wrong)
}

impl State {
    pub async fn list(&self, kind: &Kind, selection: &Selection, query: &Query) -> Result<Listed, Status> {
        check_options(query, false)?;
        let storage = kind.storage();
        let limit = query.number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0);
        let from = Continuation::parse(query.get("continue"))?;
        let wanted = query.revision()?;
        let exact = query.get("resourceVersionMatch") == "Exact";
        let (mut entries, revision) = match (&from, wanted) {
            (Some(from), _) => self.held_at(&storage, selection, from.revision, Some(from)).await?,
            (None, Some(wanted)) => {
                self.wait_for(&storage, wanted).await?;
                if exact { self.held_at(&storage, selection, wanted, None).await? } else { self.held_now(&storage, selection) }
            }
            (None, None) => self.held_now(&storage, selection),
        };
        if let Some(from) = &from {
            entries.retain(|entry| from.is_before(&entry.key));
        }
        // A list that may be old is served whole, as a real server's cache does.
        let whole = limit == 0 || query.get("resourceVersion") == "0";
        let mut meta = ListMeta { resource_version: revision.to_string(), ..ListMeta::default() };
        if !whole && entries.len() > limit {
            let left = entries.split_off(limit);
            let last = entries.last().map(|entry| entry.key.clone()).unwrap_or_default();
            meta.continue_token = Continuation { revision, after: last }.to_string();
            meta.remaining_item_count = selection.is_everything().then(|| u64::try_from(left.len()).unwrap_or(u64::MAX));
        }
        Ok(Listed { entries, meta })
    }

    fn held_now(&self, storage: &GroupResource, selection: &Selection) -> (Vec<Arc<Entry>>, Revision) {
        let (mut entries, revision) = self.shelf.list(storage, selection.namespace.as_deref());
        if !selection.is_everything() {
            entries.retain(|entry| selection.matches(entry));
        }
        (entries, revision)
    }

    /// The collection as it was. From the shelf while nothing has changed since, else from the store's history.
    async fn held_at(
        &self,
        storage: &GroupResource,
        selection: &Selection,
        at: Revision,
        from: Option<&Continuation>,
    ) -> Result<(Vec<Arc<Entry>>, Revision), Status> {
        let (entries, now) = self.held_now(storage, selection);
        let unchanged = self.shelf.watch(storage, at).is_ok_and(|mut since| since.ready().is_ok_and(|seen| seen.is_empty()));
        if now >= at && unchanged {
            return Ok((entries, at));
        }
        let page = StorePage { at: Some(at), ..StorePage::default() };
        let (kept, _) = self.store.list(&storage.prefix(), page).await.map_err(|error| match error {
            Error::Compacted { .. } => expired(from.is_some()),
            error => Status::unavailable(error.to_string()),
        })?;
        let entries = kept.into_iter().filter_map(|kept| Entry::read(kept.revision, kept.value).ok()).map(Arc::new);
        Ok((entries.filter(|entry| selection.matches(entry)).collect(), at))
    }

    /// Returns once the shelf is as new as the client is.
    pub async fn wait_for(&self, storage: &GroupResource, wanted: Revision) -> Result<(), Status> {
        let known = self.shelf.known(storage);
        if known >= wanted {
            return Ok(());
        }
        let reached = tokio::time::timeout(AHEAD_PATIENCE, self.shelf.reached(storage, wanted)).await;
        reached.map_err(|_| too_large(wanted, self.shelf.known(storage)))
    }
}

fn too_large(wanted: Revision, known: Revision) -> Status {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {known}");
    let mut status = Status::new(504, Reason::Timeout, message);
    let cause = knarr_machinery::Cause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        ..Default::default()
    };
    status.details = Some(Box::new(Details { causes: vec![cause], retry_after_seconds: Some(1), ..Details::default() }));
    status
}

fn expired(continued: bool) -> Status {
    Status::expired(if continued {
        "The provided continue parameter is too old: start a new list without it."
    } else {
        "The resourceVersion for the provided list is too old."
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let check = |query: &str, watches: bool, expected: &str| {
            let said = check_options(&Query::parse(query), watches)
                .map_or_else(|s| s.message.replace(r#"ListOptions.meta.k8s.io "" is invalid: "#, ""), |()| String::new());
            assert_eq!(said, expected, "{query}");
        };
        check("", false, "");
        check("resourceVersion=5&resourceVersionMatch=Exact", false, "");
        check(
            "resourceVersion=0&resourceVersionMatch=Exact",
            false,
            r#"resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0""#,
        );
        check(
            "resourceVersion=5&resourceVersionMatch=Roughly",
            false,
            r#"resourceVersionMatch: Unsupported value: "Roughly": supported values: "Exact", "NotOlderThan", """#,
        );
        check("sendInitialEvents=true", false, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list");
        check("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", true, "");
        check(
            "sendInitialEvents=true",
            true,
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        );
        check("continue=abc", true, "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided");
    }
}
