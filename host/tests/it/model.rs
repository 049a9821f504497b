//! A model of how a run commits, publishes and is deleted, small enough to try every order of its steps.
//!
//! Two processes work on one run of two tasks, and a `clean` deletes it in between. Each request to a store is a step.
//! Every process may be killed before any step, or sleep for as long as the others take. After each such story, one more
//! process runs undisturbed. The steps are those of `run/finalize.rs`, `run/ours.rs`, `history/clean.rs` and
//! `connector/objects/publish.rs`; a change of their order belongs here too.

use std::collections::HashSet;

/// Id of a plan. Plans are numbered as they are made, so a later plan has a higher id.
type Plan = u8;

/// Id of an attempt: the process that made it.
type Attempt = u8;

/// Added to the id of a process when it makes lost parts again.
const AGAIN: Attempt = 16;

/// Number of tasks of a run.
const TASKS: usize = 2;

/// What the stores hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Stores {
    /// Number of plans that were made.
    plans: Plan,
    plan: Option<Plan>,
    /// The commits, by plan and task.
    commits: Vec<(Plan, usize, Attempt)>,
    manifest: Option<Plan>,
    complete: Option<Plan>,
    claim: Option<Plan>,
    /// Uploads that wait for their completion.
    pending: Vec<(Plan, usize, Attempt)>,
    /// The visible parts, by task.
    parts: [Option<(Plan, Attempt)>; TASKS],
    success: Option<Plan>,
    latest: Option<Plan>,
}

impl Stores {
    fn commit(&self, plan: Plan, task: usize) -> Option<Attempt> {
        self.commits.iter().find(|commit| (commit.0, commit.1) == (plan, task)).map(|commit| commit.2)
    }

    /// Returns whether the result consists of the parts of one plan. Which attempt made a part does not matter: all
    /// attempts of one plan make the same bytes.
    fn is_whole(&self, plan: Plan) -> bool {
        (0..TASKS).all(|task| self.parts[task].is_some_and(|part| part.0 == plan))
    }
}

/// The next step of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    LookForPlan,
    LookForClaim,
    FreezePlan,
    Claim,
    /// Look for the commit of a task, or upload its part and commit it. What an attempt does before its commit is seen
    /// by no other process.
    Work(usize),
    LookWhetherComplete,
    /// Compare plan and claim, then do the step that follows.
    Compare(After),
    Publish(usize),
    TakeBack,
    Succeed,
    SucceedAnyway,
    Retract,
    Point,
    WriteManifest,
    WriteManifestAnyway,
    Complete,
    CompleteAnyway,
    /// A complete run is asked for again: its `_SUCCESS` is looked at.
    LookForSuccess,
    Ended(End),
}

/// What a comparison of the plan is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum After {
    TasksAreDone,
    Published,
    SuccessOfAnother,
    Succeeded,
    ManifestOfAnother,
    Swept,
    CompleteByAnother,
    SuccessIsMissing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    Done,
    Refused,
    Killed,
}

/// A process that works on the run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Process {
    id: Attempt,
    plan: Plan,
    step: Step,
    /// Commits as this process has read them, by task.
    winners: [Attempt; TASKS],
}

impl Process {
    fn new(id: Attempt) -> Self {
        Self { id, plan: 0, step: Step::LookForPlan, winners: [0; TASKS] }
    }

    /// Does the next step.
    fn advance(&mut self, stores: &mut Stores) {
        use Step::*;
        let plan = self.plan;
        self.step = match self.step {
            LookForPlan => match (stores.complete, stores.manifest, stores.plan) {
                (Some(by), Some(of), now) if by == of => {
                    self.plan = now.unwrap_or(by);
                    LookForSuccess
                }
                (_, _, Some(plan)) => {
                    self.plan = plan;
                    Claim
                }
                _ => LookForClaim,
            },
            LookForClaim
                if stores.claim.is_some() || stores.parts.iter().any(Option::is_some) || stores.success.is_some() =>
            {
                match stores.plan {
                    Some(plan) => {
                        self.plan = plan;
                        Claim
                    }
                    None => Ended(End::Refused),
                }
            }
            LookForClaim => FreezePlan,
            FreezePlan => {
                stores.plans += 1;
                self.plan = *stores.plan.get_or_insert(stores.plans);
                Claim
            }
            Claim if *stores.claim.get_or_insert(plan) == plan => Work(0),
            Claim => Ended(End::Refused),
            Work(task) => {
                self.winners[task] = stores.commit(plan, task).unwrap_or_else(|| {
                    stores.pending.push((plan, task, self.id));
                    stores.pending.sort_unstable();
                    stores.commits.push((plan, task, self.id));
                    stores.commits.sort_unstable();
                    self.id
                });
                if task + 1 < TASKS { Work(task + 1) } else { LookWhetherComplete }
            }
            LookWhetherComplete if stores.complete == Some(plan) && stores.manifest == Some(plan) => Ended(End::Done),
            LookWhetherComplete => Compare(After::TasksAreDone),
            Compare(after) => {
                let is_ours = stores.plan == Some(plan) && stores.claim == Some(plan);
                match (after, is_ours) {
                    (After::Succeeded, false) => Retract,
                    (_, false) => Ended(End::Refused),
                    (After::TasksAreDone, true) => Publish(0),
                    (After::Published, true) => Succeed,
                    (After::SuccessOfAnother, true) => SucceedAnyway,
                    (After::Succeeded, true) => Point,
                    (After::ManifestOfAnother, true) => WriteManifestAnyway,
                    (After::Swept, true) => Complete,
                    (After::CompleteByAnother, true) => CompleteAnyway,
                    (After::SuccessIsMissing, true) => {
                        stores.success = Some(plan);
                        Ended(End::Done)
                    }
                }
            }
            Publish(task) => {
                let pending = (plan, task, self.winners[task]);
                if let Some(place) = stores.pending.iter().position(|found| *found == pending) {
                    stores.pending.remove(place);
                    stores.parts[task] = Some((plan, self.winners[task]));
                }
                // A part is told by its size, and parts of all plans of a run may have the same.
                match task + 1 {
                    next if next < TASKS => Publish(next),
                    _ if stores.parts.contains(&None) => TakeBack,
                    _ => Compare(After::Published),
                }
            }
            TakeBack => {
                let is_lost = |commit: &(Plan, usize, Attempt)| {
                    commit.0 == plan && stores.parts[commit.1].is_none() && commit.2 == self.winners[commit.1]
                };
                stores.commits.retain(|commit| !is_lost(commit));
                // The attempt that makes a part again has another id. Parts are made again once.
                self.id += AGAIN;
                if self.id < 2 * AGAIN { Work(0) } else { Ended(End::Refused) }
            }
            Succeed => match *stores.success.get_or_insert(plan) {
                by if by == plan => Compare(After::Succeeded),
                _ => Compare(After::SuccessOfAnother),
            },
            SucceedAnyway => {
                stores.success = Some(plan);
                Compare(After::Succeeded)
            }
            Retract => {
                stores.success = stores.success.filter(|by| *by != plan);
                Ended(End::Refused)
            }
            Point => {
                stores.latest = stores.latest.max(Some(plan));
                WriteManifest
            }
            WriteManifest => match *stores.manifest.get_or_insert(plan) {
                of if of == plan => Compare(After::Swept),
                _ => Compare(After::ManifestOfAnother),
            },
            WriteManifestAnyway => {
                stores.manifest = Some(plan);
                Compare(After::Swept)
            }
            Complete => match *stores.complete.get_or_insert(plan) {
                by if by == plan => Ended(End::Done),
                _ => Compare(After::CompleteByAnother),
            },
            CompleteAnyway => {
                stores.complete = Some(plan);
                Ended(End::Done)
            }
            LookForSuccess if stores.success == Some(plan) => Ended(End::Done),
            LookForSuccess => Compare(After::SuccessIsMissing),
            Ended(end) => Ended(end),
        };
        if self.has_ended() {
            // What an ended process knew makes no difference, so moments that differ by it are one.
            self.winners = [0; TASKS];
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.step, Step::Ended(_))
    }
}

/// The steps of `clean`, with what it has seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Clean {
    step: u8,
    plan: Option<Plan>,
    pending: Vec<(Plan, usize, Attempt)>,
    commits: Vec<(Plan, usize, Attempt)>,
}

/// Number of steps of `clean`.
const CLEAN_STEPS: u8 = 11;

/// The first step of `clean` after those in the sink.
const CLEAN_RUN_STORE: u8 = 10;

/// The claim of `clean` for a plan that is not known.
const UNKNOWN: Plan = 200;

impl Clean {
    fn new() -> Self {
        Self { step: 0, plan: None, pending: Vec::new(), commits: Vec::new() }
    }

    /// Does the next step. Deletes only what it has seen.
    fn advance(&mut self, stores: &mut Stores) {
        let next = self.step + 1;
        self.step = match self.step {
            // A run that is complete, or whose result is, is not deleted.
            0 if stores.complete.is_some() || stores.success.is_some() => CLEAN_STEPS,
            1 => {
                self.plan = stores.plan;
                next
            }
            2 => {
                stores.plan = None;
                next
            }
            3 => {
                (self.pending, self.commits) = (stores.pending.clone(), stores.commits.clone());
                next
            }
            4 => {
                let pending = std::mem::take(&mut self.pending);
                stores.pending.retain(|found| !pending.contains(found));
                next
            }
            5 if stores.success.is_some() => CLEAN_RUN_STORE,
            6 => {
                let ours = self.plan.unwrap_or(UNKNOWN);
                self.plan = None;
                let holder = *stores.claim.get_or_insert(ours);
                if holder == ours || stores.plan != Some(holder) { next } else { CLEAN_RUN_STORE }
            }
            7 | 8 => {
                stores.parts[usize::from(self.step) - 7] = None;
                next
            }
            9 => {
                stores.claim = None;
                next
            }
            10 => {
                let commits = std::mem::take(&mut self.commits);
                stores.commits.retain(|found| !commits.contains(found));
                next
            }
            _ => next,
        };
    }
}

/// One moment of a story.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Moment {
    stores: Stores,
    processes: [Process; 2],
    clean: Clean,
    kills_left: u8,
}

impl Moment {
    fn first() -> Self {
        let processes = [Process::new(1), Process::new(2)];
        Self { stores: Stores::default(), processes, clean: Clean::new(), kills_left: 1 }
    }

    /// Returns what may come next.
    fn next(&self) -> Vec<Self> {
        let mut next = Vec::new();
        for number in (0..2).filter(|number| !self.processes[*number].has_ended()) {
            let mut moment = self.clone();
            moment.processes[number].advance(&mut moment.stores);
            next.push(moment);
            if self.kills_left > 0 {
                let mut moment = self.clone();
                moment.processes[number].step = Step::Ended(End::Killed);
                moment.kills_left -= 1;
                next.push(moment);
            }
        }
        if self.clean.step < CLEAN_STEPS {
            let mut moment = self.clone();
            moment.clean.advance(&mut moment.stores);
            next.push(moment);
            // The command is not started, or killed.
            next.push(Self { clean: Clean { step: CLEAN_STEPS, ..Clean::new() }, ..self.clone() });
        }
        next
    }

    /// Checks what holds at every moment.
    fn check(&self, before: Option<&Self>) {
        let Stores { success, latest, .. } = self.stores;
        let may_be_early = self.processes.iter().any(|process| {
            Some(process.plan) == success && matches!(process.step, Step::Compare(After::Succeeded) | Step::Retract)
        });
        let was_killed_early = self.kills_left == 0;
        if let Some(plan) = success
            && !may_be_early
            && !was_killed_early
        {
            assert!(self.stores.is_whole(plan), "it is said to be complete by plan {plan}: {self:#?}");
        }
        if let Some(before) = before {
            assert!(before.stores.latest <= latest, "the pointer went back: {self:#?}");
            for commit in &self.stores.commits {
                let same = before.stores.commit(commit.0, commit.1).is_none_or(|winner| winner == commit.2);
                assert!(same, "a commit changed: {before:#?} {self:#?}");
            }
        }
    }

    /// Checks what one more process, which runs undisturbed, makes of the end of a story.
    fn check_end(&self) {
        let (mut stores, mut process) = (self.stores.clone(), Process::new(3));
        for _ in 0..200 {
            process.advance(&mut stores);
        }
        match process.step {
            Step::Ended(End::Done) => {
                let plan = process.plan;
                assert!(stores.is_whole(plan), "a process ended well without the result: {stores:#?} after {self:#?}");
                let of = [stores.claim, stores.manifest, stores.complete, stores.success];
                assert_eq!(of, [Some(plan); 4], "{stores:#?} after {self:#?}");
                // A run that was deleted in its very last step may be complete without its plan.
                assert!(stores.plan.is_none_or(|of| of == plan), "{stores:#?} after {self:#?}");
            }
            // A result without a plan, or with the claim of a plan that is gone, is refused by name.
            Step::Ended(End::Refused) => {
                assert!(stores.plan.is_none() || stores.claim != stores.plan, "{stores:#?} after {self:#?}");
            }
            step => panic!("the process does not end: {step:?}, {stores:#?} after {self:#?}"),
        }
    }
}

#[test]
fn no_order_of_two_processes_a_clean_and_a_kill_breaks_an_invariant() {
    let mut seen = HashSet::from([Moment::first()]);
    let mut waiting = vec![Moment::first()];
    let mut ends = 0;
    while let Some(moment) = waiting.pop() {
        let next = moment.next();
        if next.is_empty() {
            moment.check_end();
            ends += 1;
        }
        for later in next {
            later.check(Some(&moment));
            if seen.insert(later.clone()) {
                waiting.push(later);
            }
        }
    }
    assert!(seen.len() > 10_000 && ends > 100, "{} moments, {ends} ends", seen.len());
}
