use super::*;
use Outcome::{Failed, Quiet, Wrote};

const QUIET: Outcome = Quiet { again_in: None };

/// Takes the next key if there is one within a minute, and says after how many milliseconds.
async fn next<'a>(queue: &'a Queue<&'static str>) -> Option<(Pass<'a, &'static str>, u128)> {
    let start = Instant::now();
    let pass = tokio::time::timeout(Duration::from_secs(60), queue.next()).await.ok()?;
    Some((pass, start.elapsed().as_millis()))
}

/// Works through everything, each pass ending the same way, and writes down `key@ms`.
async fn drain(queue: &Queue<&'static str>, outcome: Outcome, most: usize) -> String {
    let mut said = vec![];
    while said.len() < most
        && let Some((pass, ms)) = next(queue).await
    {
        said.push(format!("{}@{ms}", pass.key));
        pass.end(outcome);
    }
    said.join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_key_stands_in_line_once() {
    let queue = Queue::new(None);
    queue.add_all(["a", "b", "a"]);
    assert_eq!(queue.depth(), 2);
    assert_eq!(drain(&queue, QUIET, 9).await, "a@0 b@0");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_changes_during_its_pass_comes_again_after_it() {
    let queue = Queue::new(None);
    queue.add("a");
    let (pass, _) = next(&queue).await.unwrap();
    queue.add("a");
    assert_eq!(queue.depth(), 0, "one pass at a time");
    pass.end(QUIET);
    assert_eq!(drain(&queue, QUIET, 9).await, "a@0");
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_to_a_bound() {
    let queue = Queue::new(None);
    queue.add("a");
    assert_eq!(drain(&queue, Failed, 6).await, "a@0 a@5 a@10 a@20 a@40 a@80");
    drain(&queue, Failed, 20).await;
    assert_eq!(drain(&queue, Failed, 1).await, "a@30000");
}

#[tokio::test(start_paused = true)]
async fn a_change_brings_a_failing_key_forward_but_not_to_at_once() {
    let queue = Queue::new(None);
    queue.add("a");
    drain(&queue, Failed, 20).await;
    queue.add("a");
    assert_eq!(drain(&queue, Failed, 1).await, "a@250");
    queue.add("a");
    let (pass, _) = next(&queue).await.unwrap();
    queue.add("a");
    pass.end(Failed);
    assert_eq!(drain(&queue, QUIET, 1).await, "a@250", "it may have been its own doing");
}

#[tokio::test(start_paused = true)]
async fn a_success_forgets_the_failures() {
    let queue = Queue::new(None);
    queue.add("a");
    drain(&queue, Failed, 5).await;
    drain(&queue, QUIET, 1).await;
    queue.add("a");
    assert_eq!(drain(&queue, Failed, 2).await, "a@0 a@5");
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_is_dropped_has_failed() {
    let queue = Queue::new(None);
    queue.add("a");
    drop(next(&queue).await);
    assert_eq!(drain(&queue, QUIET, 9).await, "a@5");
}

#[tokio::test(start_paused = true)]
async fn a_later_look_comes_when_it_is_due_and_the_earlier_of_two_counts() {
    let queue = Queue::new(None);
    queue.add("a");
    let (pass, _) = next(&queue).await.unwrap();
    pass.end(Quiet { again_in: Some(Duration::from_secs(9)) });
    queue.add("a");
    let (pass, _) = next(&queue).await.unwrap();
    pass.end(Quiet { again_in: Some(Duration::from_secs(2)) });
    assert_eq!(drain(&queue, QUIET, 9).await, "a@2000");
}

#[tokio::test(start_paused = true)]
async fn writes_in_a_row_are_spread() {
    let queue = Queue::new(Some(Pace { first: Duration::from_millis(10), most: Duration::from_secs(1) }));
    let mut said = vec![];
    for _ in 0..4 {
        queue.add("a");
        said.push(drain(&queue, Wrote { again_in: None }, 1).await);
    }
    assert_eq!(said, ["a@0", "a@10", "a@20", "a@40"]);
}

#[tokio::test(start_paused = true)]
async fn several_workers_share_what_is_there() {
    let queue = Queue::new(None);
    let (first, second) = tokio::join!(queue.next(), async {
        queue.add_all(["a", "b"]);
        queue.next().await
    });
    assert_ne!(first.key, second.key);
}
