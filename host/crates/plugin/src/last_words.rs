//! The last words of a plugin: what the runtime of its language printed before it gave up.
//!
//! Owns how the runtimes of Rust, Python, Go, C, C++ and JavaScript tell an uncaught error, and where. The texts are
//! foreign: they are shown and compared, and nothing else depends on them.

/// Text that Rust prints between the name of a thread and the place of its panic.
const PANICKED: &str = " panicked at ";
/// Message with which componentize-py panics after it has printed the traceback of an exception.
const OF_PYTHON: &str = "Python function threw an unexpected exception";
/// First line of a Python traceback.
const TRACEBACK: &str = "Traceback (most recent call last):";
/// Starts of the lines with which Go and TinyGo end.
const OF_GO: [&str; 2] = ["panic: ", "fatal error: "];

/// An uncaught error, as the runtime of its language told it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Uncaught {
    /// Verb that describes the end of the call.
    pub(super) verb: &'static str,
    /// The part of the error that is the same each time it comes up in the same way.
    kind: String,
    /// Place in the plugin's source: `app.py:12`.
    pub(super) place: Option<String>,
    /// Message of the error, in the language's own form; may be empty.
    pub(super) message: String,
}

impl Uncaught {
    /// Returns the error that these lines tell, if they tell one.
    pub(super) fn of(lines: &[String]) -> Option<Self> {
        rust(lines).or_else(|| python(lines)).or_else(|| go(lines)).or_else(|| c(lines)).or_else(|| javascript(lines))
    }

    /// Returns a text that is the same for errors of the same kind at the same place.
    pub(super) fn cause(&self) -> String {
        match &self.place {
            Some(place) => format!("{} at {place}", self.kind),
            None => self.kind.clone(),
        }
    }

    fn failed(kind: String, place: Option<String>, message: String) -> Self {
        Self { verb: "failed", kind, place, message }
    }
}

/// Returns whether a line is one that TinyGo prints before it gives up. It prints them to standard output.
pub(super) fn is_of_tiny_go(line: &str) -> bool {
    OF_GO.iter().any(|start| line.starts_with(start))
}

/// Joins lines to one, without their indentation.
pub(super) fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

fn rust(lines: &[String]) -> Option<Uncaught> {
    let line = lines.iter().rposition(|line| line.contains(PANICKED))?;
    let (_, place) = lines[line].split_once(PANICKED)?;
    let message = &lines[line + 1..];
    if message.first().is_some_and(|message| message == OF_PYTHON) && lines[..line].iter().any(|l| l == TRACEBACK) {
        return None;
    }
    let (kind, place) = ("panicked".to_owned(), Some(place.trim_end_matches(':').to_owned()));
    Some(Uncaught { verb: "panicked", kind, place, message: joined(message) })
}

/// Reads a traceback: indented frames, the innermost last, and then the exception.
fn python(lines: &[String]) -> Option<Uncaught> {
    let frames = &lines[lines.iter().rposition(|line| line == TRACEBACK)? + 1..];
    let (frames, exception) = frames.split_at(frames.iter().position(|line| !line.starts_with(' '))?);
    let end = exception.iter().position(|line| line.contains(PANICKED)).unwrap_or(exception.len());
    let exception = &exception[..end];
    let name = exception.first()?.split(':').next()?.to_owned();
    let place = frames.iter().rev().find_map(|frame| {
        let (file, line) = frame.trim().strip_prefix("File \"")?.split_once("\", line ")?;
        Some(format!("{file}:{}", line.split(',').next()?))
    });
    Some(Uncaught::failed(name, place, joined(exception)))
}

/// Reads the line that says why, and the first frame of the goroutine's stack that is not Go's own. TinyGo prints no
/// stack.
fn go(lines: &[String]) -> Option<Uncaught> {
    let line = lines.iter().rposition(|line| is_of_tiny_go(line))?;
    let place = lines[line + 1..].iter().find_map(|frame| {
        let frame = frame.strip_prefix('\t').filter(|frame| frame.contains(".go:"))?;
        let own = frame.starts_with("runtime/") || frame.contains("/src/runtime/");
        (!own).then(|| frame.split(' ').next().unwrap_or(frame).to_owned())
    });
    let message = lines[line].clone();
    let kind = if place.is_some() { "panic".to_owned() } else { without_numbers(&message) };
    Some(Uncaught::failed(kind, place, message))
}

/// Reads the message of `assert`, `Assertion failed: x > 0 (map.c: process: 12)`, or that of an uncaught C++ exception.
fn c(lines: &[String]) -> Option<Uncaught> {
    lines.iter().rev().find_map(|line| {
        if line.starts_with("libc++abi: terminating") {
            return Some(Uncaught::failed(without_numbers(line), None, line.clone()));
        }
        let (message, place) = line.strip_suffix(')')?.rsplit_once(" (")?;
        let mut place = place.split(": ");
        let (file, number) = (place.next()?, place.nth(1)?);
        let place = Some(format!("{file}:{number}"));
        message
            .starts_with("Assertion failed: ")
            .then(|| Uncaught::failed("assert".to_owned(), place, message.to_owned()))
    })
}

/// Reads the error before a stack in the form of V8 and QuickJS, `at map (app.js:12:5)`, or of SpiderMonkey,
/// `map@app.js:12:5`. Without a stack, reads a line that begins with `Uncaught`.
fn javascript(lines: &[String]) -> Option<Uncaught> {
    let is_frame = |line: &String| javascript_place(line).is_some();
    let Some(last) = lines.iter().rposition(is_frame) else {
        let message = lines.iter().rev().find(|line| line.starts_with("Uncaught "))?;
        let message = javascript_error(message);
        return Some(Uncaught::failed(javascript_kind(&message), None, message));
    };
    let first = lines[..last].iter().rposition(|line| !is_frame(line)).map_or(0, |line| line + 1);
    let before = lines[..first].strip_suffix(&["Stack:".to_owned()]).unwrap_or(&lines[..first]);
    let message = javascript_error(before.last()?);
    Some(Uncaught::failed(javascript_kind(&message), javascript_place(&lines[first]), message))
}

/// Returns the place that a frame of a stack names, without its column.
fn javascript_place(line: &str) -> Option<String> {
    let frame = line.trim();
    let place = match frame.strip_prefix("at ") {
        Some(frame) => frame.rsplit_once('(').map_or(frame, |(_, place)| place.trim_end_matches(')')),
        None => frame.split_once('@')?.1,
    };
    let (file, number) = place.rsplit_once(':')?;
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    match file.rsplit_once(':') {
        Some((file, line)) if is_number(line) && is_number(number) => Some(format!("{file}:{line}")),
        _ => is_number(number).then(|| format!("{file}:{number}")),
    }
}

/// Returns the error that a line names, without what an engine puts around it: `Uncaught`, what it was doing, a place
/// in front, or its form as source code, `(new Error("bad", "app.js", 12))`.
fn javascript_error(line: &str) -> String {
    let line = line.trim().trim_start_matches("Uncaught ").trim_start_matches("(in promise) ");
    let line =
        line.strip_prefix("Exception while ").and_then(|rest| rest.split_once(": ")).map_or(line, |(_, rest)| rest);
    if let Some((name, arguments)) = line.strip_prefix("(new ").and_then(|rest| rest.split_once("(\"")) {
        return format!("{name}: {}", arguments.split("\", ").next().unwrap_or(arguments));
    }
    match line.split_once(' ') {
        Some((place, error)) if javascript_place(&format!("at {place}")).is_some() => error.to_owned(),
        _ => line.to_owned(),
    }
}

/// Returns the name of the error's class, if the message begins with one.
fn javascript_kind(message: &str) -> String {
    let name = message.split(':').next().unwrap_or_default();
    let is_name = name.ends_with("Error") && name.chars().all(char::is_alphanumeric);
    if is_name { name.to_owned() } else { "exception".to_owned() }
}

/// Returns a message without its decimal numbers, which may be those of a record.
fn without_numbers(message: &str) -> String {
    let word = |word: &str| match word.starts_with("0x") {
        true => word.to_owned(),
        false => word.replace(|letter: char| letter.is_ascii_digit(), ""),
    };
    message.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what the lines of a text tell: the message, the place and the cause.
    fn told(text: &str) -> (String, String, String) {
        let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
        let uncaught = Uncaught::of(&lines).unwrap_or_else(|| panic!("nothing is told: {text}"));
        let cause = uncaught.cause();
        (uncaught.message, uncaught.place.unwrap_or_default(), cause)
    }

    #[track_caller]
    fn tells(text: &str, message: &str, place: &str, cause: &str) {
        assert_eq!(told(text), (message.to_owned(), place.to_owned(), cause.to_owned()));
    }

    #[test]
    fn rust_tells_the_place_and_the_message() {
        let panic = "before\n\nthread 'main' (1) panicked at src/lib.rs:7:9:\nassertion failed\n  left: 1";
        tells(panic, "assertion failed left: 1", "src/lib.rs:7:9", "panicked at src/lib.rs:7:9");
    }

    #[test]
    fn python_tells_the_exception_and_the_innermost_frame() {
        let traceback = concat!(
            "Traceback (most recent call last):\n",
            "  File \"/0/app.py\", line 7, in process\n    self.map(row)\n    ~~~~~~~~^^^^^\n",
            "  File \"/0/app.py\", line 12, in map\n    raise ValueError(\"bad thing\")\n",
            "ValueError: bad thing\n",
        );
        let of_componentize_py = concat!(
            "thread '<unnamed>' (1) panicked at runtime/src/lib.rs:561:25:\n",
            "Python function threw an unexpected exception\n",
        );
        for text in [traceback.to_owned(), format!("{traceback}\n{of_componentize_py}")] {
            tells(&text, "ValueError: bad thing", "/0/app.py:12", "ValueError at /0/app.py:12");
        }
        let second = concat!(
            "\nDuring handling of the above exception, another exception occurred:\n\n",
            "Traceback (most recent call last):\n  File \"app.py\", line 30, in <module>\n    assert False\n",
            "AssertionError\n",
        );
        let chained = format!("{traceback}{second}{of_componentize_py}");
        tells(&chained, "AssertionError", "app.py:30", "AssertionError at app.py:30");
        let lines = "Traceback (most recent call last):\n  File \"a.py\", line 1, in map\na.Bad: one\ntwo\n";
        tells(lines, "a.Bad: one two", "a.py:1", "a.Bad at a.py:1");
        tells(of_componentize_py, OF_PYTHON, "runtime/src/lib.rs:561:25", "panicked at runtime/src/lib.rs:561:25");
    }

    #[test]
    fn go_tells_why_it_panicked_and_the_first_frame_of_the_plugin() {
        let panic = "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\n\
                     panic({0x1, 0x2})\n\t/usr/local/go/src/runtime/panic.go:783 +0x12\nmain.process(...)\n\
                     \t/src/step/main.go:12\nmain.main()\n\t/src/step/main.go:40 +0x1d\n";
        let message = "panic: runtime error: index out of range [5] with length 3";
        tells(panic, message, "/src/step/main.go:12", "panic at /src/step/main.go:12");
        let again =
            "panic: bad [recovered]\n\tpanic: worse\n\ngoroutine 1 [running]:\nmain.f()\n\tstep/main.go:3 +0x1\n";
        tells(again, "panic: bad [recovered]", "step/main.go:3", "panic at step/main.go:3");
        tells(
            "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [select]:\n\truntime/proc.go:1 +0x2\n",
            "fatal error: all goroutines are asleep - deadlock!",
            "",
            "fatal error: all goroutines are asleep - deadlock!",
        );
    }

    #[test]
    fn tiny_go_tells_why_it_panicked() {
        tells("panic: bad record 17\n", "panic: bad record 17", "", "panic: bad record ");
        let at = "panic: runtime error at 0x00000b2c: index out of range";
        tells(at, at, "", at);
        assert!(is_of_tiny_go(at) && !is_of_tiny_go("a panic: no"));
    }

    #[test]
    fn c_tells_the_assertion_and_its_place_and_cpp_the_exception() {
        let assert = "Assertion failed: rows > (1) (src/map.c: exports_process: 12)\n";
        tells(assert, "Assertion failed: rows > (1)", "src/map.c:12", "assert at src/map.c:12");
        let cpp = "libc++abi: terminating due to uncaught exception of type std::runtime_error: bad 7";
        tells(cpp, cpp, "", "libc++abi: terminating due to uncaught exception of type std::runtime_error: bad ");
    }

    #[test]
    fn javascript_tells_the_error_and_the_innermost_frame() {
        let (message, place, cause) = ("TypeError: x is undefined", "app.js:12", "TypeError at app.js:12");
        for text in [
            "TypeError: x is undefined\n    at map (app.js:12:5)\n    at process (app.js:3:1)\n",
            "Uncaught TypeError: x is undefined\n    at app.js:12\n",
            "Uncaught (in promise) TypeError: x is undefined\n    at map (app.js:12)\n",
            "app.js:12:5 TypeError: x is undefined\nStack:\n  map@app.js:12:5\n  process@app.js:3:1\n",
            "Exception while f: (new TypeError(\"x is undefined\", \"app.js\", 12))\nmap@app.js:12:5\n@app.js:3:1",
        ] {
            tells(text, message, place, cause);
        }
        // StarlingMonkey prints the message of a rejected promise without the name of its class.
        tells("x is undefined\nStack:\n  map@app.js:12:5\n", "x is undefined", "app.js:12", "exception at app.js:12");
        tells("Uncaught Error: bad\n", "Error: bad", "", "Error");
        tells("note\nUncaught 7\n", "7", "", "exception");
    }

    #[test]
    fn other_words_tell_no_error() {
        for text in ["", "bye", "a panic: no", "at 12", "see me@example.com: 7", "File \"app.py\", line 3", "(a: b: c)"]
        {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            assert_eq!(Uncaught::of(&lines), None, "{text}");
        }
    }
}
