//! Simulations of many processes that share the tasks of a stage.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use etl_core::{
    model::{
        event::{Counts, Events, Stage},
        ids::{AttemptId, PlanId, Try},
    },
    runtime::process::ProcessId,
};
use etl_store::{
    Store,
    testing::counting::{Requests, counting},
};
use rand_pcg::{Pcg32, rand_core::Rng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    run::{
        order::Place,
        stage::{WAIT_MAX, WAIT_MIN},
    },
    run_store::{
        beats::{Beat, Heartbeat},
        layout::{PlanLayout, RunLayout},
    },
    scheduler::{HasCounts, Retry, Scheduler},
};

/// Time between two heartbeats.
const EVERY: Duration = Duration::from_secs(5);

/// A run of which only the tasks of one stage are simulated, in the time of a clock that stands while all wait.
#[derive(Clone)]
struct Stand {
    store: Store,
    requests: Arc<Requests>,
    layout: RunLayout,
    plan: Arc<PlanLayout>,
    tasks: u32,
    /// How long an attempt at a task takes.
    takes: fn(TaskId) -> Duration,
    attempts: Arc<AtomicUsize>,
    /// The tasks that are committed, and how often.
    commits: Arc<Mutex<BTreeMap<TaskId, u32>>>,
}

struct Nothing(Counts);

impl HasCounts for Nothing {
    fn counts(&self) -> &Counts {
        &self.0
    }
}

impl Stand {
    fn new(tasks: u32, takes: fn(TaskId) -> Duration) -> Self {
        let (store, requests) = counting();
        let layout = RunLayout::new("p", "r");
        let plan = Arc::new(layout.of_plan(&PlanId::of(AttemptId::new(Try::FIRST, "planner"))));
        let (attempts, commits) = (Arc::default(), Arc::default());
        Self { store, requests, layout, plan, tasks, takes, attempts, commits }
    }

    fn is_committed(&self, task: TaskId) -> bool {
        self.commits.lock().expect("no panic").contains_key(&task)
    }

    /// Works on the stage until all tasks are committed, as a process of a machine of its own.
    async fn work(self, name: String, place: Place, slots: usize) {
        let id = format!(r#"{{ "host": "{name}", "pid": 1, "machine": "{name}", "started": 0 }}"#);
        let id: ProcessId = serde_json::from_str(&id).expect("an id");
        let (events, beat) = (Events::silent(), Beat::new(&name, Some(id), 0));
        let heartbeat = Heartbeat::start(&self.store, &self.layout, &events, EVERY, beat).await;
        let work = async {
            self.run(&name, place, slots, events).await;
            heartbeat.close();
        };
        tokio::join!(work, heartbeat.keep());
        heartbeat.end().await;
    }

    async fn run(&self, name: &str, place: Place, slots: usize, events: Events) {
        let claims = Claims::new(&self.store, &self.plan, Stage::Map, name);
        let colleagues = Arc::new(Colleagues::new(&self.store, &self.layout, EVERY));
        let order = Order::new(vec![(0..self.tasks).map(TaskId).collect()], place, name);
        let share = Share::open(claims, &colleagues, order, |task| self.is_committed(task)).await.expect("opens");
        let scheduler = Scheduler {
            stage: Stage::Map,
            slots,
            admission: Some(share.admission()),
            retry: Retry::default(),
            speculative: true,
            cancel: CancellationToken::new(),
            grace: Duration::ZERO,
            events,
        };
        loop {
            let stand = self.clone();
            let attempt = move |task, _| stand.clone().attempt(task);
            let patience = scheduler.run(share.tasks(), attempt, |_, result| result.map(drop)).await.expect("works");
            let mut wait = WAIT_MIN;
            loop {
                let done = share.elsewhere().into_iter().filter(|task| self.is_committed(*task));
                done.for_each(|task| share.committed(task));
                if share.elsewhere().is_empty() {
                    return;
                }
                if share.take_over(patience).await.expect("looks") {
                    break;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
        }
    }

    async fn attempt(self, task: TaskId) -> Result<Nothing> {
        self.attempts.fetch_add(1, SeqCst);
        tokio::time::sleep((self.takes)(task)).await;
        *self.commits.lock().expect("no panic").entry(task).or_default() += 1;
        Ok(Nothing(Counts::default()))
    }

    /// Lets `processes` work on the stage, and returns how long that took.
    async fn shared_by(&self, processes: u32, place: fn(u32, u32) -> Place, slots: usize) -> Duration {
        let (started, mut all) = (Instant::now(), JoinSet::new());
        for number in 0..processes {
            all.spawn(self.clone().work(format!("process-{number}"), place(number, processes), slots));
        }
        all.join_all().await;
        assert_eq!(self.commits.lock().expect("no panic").len(), self.tasks as usize, "every task is committed");
        started.elapsed()
    }

    fn requests(&self) -> [usize; 3] {
        let Requests { puts, lists, gets, .. } = &*self.requests;
        [puts, lists, gets].map(|requests| requests.load(SeqCst))
    }
}

fn second(_: TaskId) -> Duration {
    Duration::from_secs(1)
}

/// Returns between 0.5 and 2.5 seconds.
fn uneven(task: TaskId) -> Duration {
    Duration::from_millis(500 + u64::from(task.0.wrapping_mul(2_654_435_761) >> 16) % 2000)
}

const PLACES: [fn(u32, u32) -> Place; 3] =
    [|_, _| Place::First, |_, _| Place::ByName, |index, of| Place::Part { index, of }];

#[tokio::test(start_paused = true)]
async fn eight_processes_do_each_task_once_in_an_eighth_of_the_time() {
    for takes in [second, uneven] {
        for place in PLACES {
            let alone = Stand::new(1000, takes).shared_by(1, place, 4).await;
            let stand = Stand::new(1000, takes);
            let together = stand.shared_by(8, place, 4).await;
            let attempts = stand.attempts.load(SeqCst);
            assert!(attempts <= 1050, "{attempts} attempts at 1000 tasks");
            assert!(together * 7 <= alone, "{together:?}, and alone {alone:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn few_tasks_that_wait_are_shared_too() {
    let alone = Stand::new(48, second).shared_by(1, PLACES[1], 2).await;
    let stand = Stand::new(48, second);
    let together = stand.shared_by(8, PLACES[1], 2).await;
    assert_eq!((alone, stand.attempts.load(SeqCst)), (Duration::from_secs(24), 48));
    assert!(together * 7 <= alone, "{together:?}");
}

/// The requests that sharing a stage of a thousand tasks takes, as `docs/how-to/many-machines.md` has them.
#[tokio::test(start_paused = true)]
async fn sharing_takes_one_request_a_task_and_few_a_process() {
    let stand = Stand::new(1000, second);
    stand.shared_by(1, PLACES[0], 4).await;
    let [puts, lists, gets] = stand.requests();
    let beats = 250 / 5 + 3;
    assert!(puts <= 1000 + beats && lists == 1 && gets == 0, "alone: {puts} puts, {lists} lists, {gets} gets");
    for (processes, place) in [(8, PLACES[1]), (8, PLACES[2]), (8, PLACES[0]), (64, PLACES[1])] {
        let stand = Stand::new(1000, second);
        stand.shared_by(processes, place, 4).await;
        let ([puts, lists, gets], processes) = (stand.requests(), processes as usize);
        assert!(puts <= 1000 + 40 * processes, "{processes}: {puts} puts");
        assert!(lists <= 40 * processes, "{processes}: {lists} lists");
        assert!(gets <= 100 * processes, "{processes}: {gets} gets");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_vanishes_is_missed_after_three_heartbeats_and_its_tasks_are_taken_over() {
    let stand = Stand::new(100, second);
    let gone = tokio::spawn(stand.clone().work("gone".to_owned(), Place::First, 4));
    tokio::time::sleep(Duration::from_millis(3500)).await;
    gone.abort();
    let took = stand.shared_by(1, PLACES[0], 4).await;
    // It had 12 tasks done and was at four. The rest takes the other 21 seconds, longer than its heartbeat is missed.
    assert_eq!(took, Duration::from_secs(22));
    assert_eq!(stand.attempts.load(SeqCst), 104);
}

#[tokio::test(start_paused = true)]
async fn sixty_four_processes_that_come_and_go_lose_nothing() {
    for seed in 0..2 {
        let (mut random, stand) = (Pcg32::new(seed, 7), Stand::new(1000, uneven));
        let (mut all, mut killed) = (JoinSet::new(), 0);
        for number in 0..64 {
            let (stand, place) = (stand.clone(), PLACES[number as usize % 3](number % 64, 64));
            let (begins, lives) = (random.next_u32() % 20, random.next_u32() % 40);
            let is_killed = number > 0 && random.next_u32() % 3 == 0;
            killed += usize::from(is_killed);
            all.spawn(async move {
                tokio::time::sleep(Duration::from_secs(begins.into())).await;
                let work = stand.work(format!("{seed}-{number}"), place, 3);
                if is_killed {
                    drop(tokio::time::timeout(Duration::from_secs(lives.into()), work).await);
                } else {
                    work.await;
                }
            });
        }
        all.join_all().await;
        assert_eq!(stand.commits.lock().expect("no panic").len(), 1000, "seed {seed}");
        // Each process that is killed leaves at most its three tasks to others; slow ones are done twice.
        let attempts = stand.attempts.load(SeqCst);
        assert!(attempts <= 1050 + 3 * killed, "seed {seed}: {attempts} attempts, {killed} killed");
    }
}
