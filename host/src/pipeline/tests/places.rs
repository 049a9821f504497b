//! Source, sink and run store are apart, however they are written.

use std::os::unix::fs::symlink;

use super::*;

/// Loads a pipeline beside whose file `link` leads to `input`.
fn linked(set: &[&str]) -> Result<(), String> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pipeline.toml");
    fs::write(&file, LEAST).expect("written");
    fs::create_dir(directory.path().join("input")).expect("created");
    symlink("input", directory.path().join("link")).expect("linked");
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    let message = |error: Error| error.to_string().replace(&directory.path().display().to_string(), "DIR");
    Pipeline::load(&file, &set, env).map(drop).map_err(message)
}

#[test]
fn a_sink_or_a_run_store_inside_the_source_is_refused_however_it_is_written() {
    let inside = "lies inside `source.url`, so the next run would read it as input (choose a place beside it)";
    for (set, key) in [
        (&["sink.url=link/out"][..], "`sink.url` (`DIR/link/out`)"),
        (&["run.store=link"], "`run.store` (`DIR/link`)"),
        (&["run.scratch=link/tmp"], "`run.scratch` (`DIR/link/tmp`)"),
        (&["source.url=link", "sink.url=input/a/b"], "`sink.url` (`DIR/input/a/b`)"),
        (&["source.url=s3://b/a b", "sink.url=s3://b/%61%20b/out/"], "`sink.url` (`s3://b/%61%20b/out/`)"),
        (&["source.url=memory://x/in", "sink.url=memory://x/in/"], "`sink.url` (`memory://x/in/`)"),
    ] {
        assert_eq!(linked(set), Err(format!("DIR/pipeline.toml (by --set): {key} {inside}")), "{set:?}");
    }
    assert_eq!(linked(&["source.url=link"]), Ok(()));
    assert_eq!(linked(&["source.url=s3://b/in", "sink.url=s3://b/inner"]), Ok(()));
}

#[test]
fn results_among_the_runs_of_the_pipeline_are_refused() {
    let among = "lies where the runs of this pipeline are, `DIR/runs/count` (choose a place beside it)";
    for sink in ["runs/count", "runs/count/results/", "./runs//count/../count"] {
        let refused = linked(&[&format!("sink.url={sink}")]).expect_err(sink);
        assert!(refused.ends_with(among), "{refused}");
    }
    let pointer = linked(&["name=latest.json", "sink.url=runs"]).expect_err("it is the pointer's place");
    assert!(
        pointer
            .ends_with("lies where the runs of this pipeline are, `DIR/runs/latest.json` (choose a place beside it)")
    );
    assert_eq!(linked(&["sink.url=runs"]), Ok(()), "ids tell results and pipelines apart");
}

#[test]
fn the_id_of_a_run_is_refused_if_its_result_would_lie_in_the_way() {
    let refused = |set: &[&str], run_id: &str| match loaded(LEAST, set).check_run(run_id) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    };
    let beside = refused(&["sink.url=s3://b/x", "run.store=s3://b/x/"], "count");
    assert_eq!(
        beside,
        "the result of run `count` in `s3://b/x` lies where the runs of pipeline `count` are, in `s3://b/x/` (use \
         another run id, or move `sink.url`)"
    );
    assert!(
        refused(&["sink.url=s3://b", "run.store=s3://b/x/y"], "x").starts_with("the result of run `x` in `s3://b`")
    );
    assert_eq!(refused(&["sink.url=s3://b/x", "run.store=s3://b/x/"], "other"), "");
    assert_eq!(
        refused(&["source.url=s3://b/in/", "sink.url=s3://b/"], "in"),
        "run id `in` cannot be used: the result would lie where the source `s3://b/in/` is (use another id)"
    );
    let rejects = ["source.url=s3://b/count/r-1/rejects/", "run.store=s3://b/"];
    assert!(refused(&rejects, "r-1").contains("the run would lie where the source"));
    assert_eq!(refused(&rejects, "r-2"), "");
    assert!(refused(&[], "_x").starts_with("run id `_x` begins with `_`"));
}
