//! Promises of creating an object that only one of several callers may create.

use super::place::Place;
use crate::Created;

pub(super) async fn of_creators_one_after_another_the_first_wins(at: Place) {
    at.put("put", "by another").await.expect("writes");
    assert_eq!(at.create("put", "attempt 1").await.expect("answers"), Created::Lost("by another".into()));
    assert_eq!(at.create("commit", "attempt 1").await.expect("answers"), Created::Won);
    for _ in 0..2 {
        assert_eq!(at.create("commit", "attempt 2").await.expect("answers"), Created::Lost("attempt 1".into()));
        assert_eq!(at.create("commit", "attempt 1").await.expect("answers"), Created::Won, "it asks again");
    }
    assert_eq!(at.get("commit").await.expect("reads").as_deref(), Some(&b"attempt 1"[..]));
}

pub(super) async fn of_creators_at_the_same_time_one_wins_and_the_others_learn_who(at: Place) {
    let tries = (0..16).map(|number| {
        let at = at.clone();
        tokio::spawn(async move { at.create("commit", format!("attempt {number}")).await.expect("answers") })
    });
    let outcomes: Vec<Created> = futures::future::try_join_all(tries).await.expect("no panic");
    let winner = at.get("commit").await.expect("reads").expect("is there");
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let is_winner = winner == format!("attempt {number}");
        assert_eq!(outcome, if is_winner { Created::Won } else { Created::Lost(winner.clone()) });
    }
    assert_eq!(at.create("commit", winner).await.expect("answers"), Created::Won);
}

pub(super) async fn what_was_deleted_can_be_created_again(at: Place) {
    for bytes in ["attempt 1", "attempt 2"] {
        assert_eq!(at.create("commit", bytes).await.expect("answers"), Created::Won);
        at.delete("commit").await.expect("deletes");
    }
}
