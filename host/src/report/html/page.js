// Draws the report from the data in the page. Data of a run becomes text, never markup.
(() => {
  'use strict';
  const data = JSON.parse(document.getElementById('data').textContent);
  const $ = id => document.getElementById(id);

  // -- Text and numbers

  // Characters that cannot be seen, or change how others are shown; as in `text/numbers.rs`.
  const unprintable = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;
  const printable = text => String(text).replace(unprintable, c => `\\u{${c.codePointAt(0).toString(16)}}`);
  const count = number => number.toLocaleString('en-US');
  const counted = (number, thing, things = `${thing}s`) => `${count(number)} ${number === 1 ? thing : things}`;
  const round = (number, digits) => number.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });

  function bytes(number) {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
    let unit = 0;
    while (number >= 1024 && unit < units.length - 1) { number /= 1024; unit += 1; }
    return `${unit === 0 ? number : round(number, 1)} ${units[unit]}`;
  }

  function duration(ms) {
    if (ms > 0 && ms < 1) return `${Math.round(ms * 1000)} µs`;
    if (ms < 1000) return `${ms < 10 && ms % 1 ? round(ms, 1) : Math.round(ms)} ms`;
    const seconds = ms / 1000;
    if (seconds < 60) return `${round(seconds, seconds < 10 ? 2 : 1)} s`;
    const whole = Math.floor(seconds);
    const two = number => String(number).padStart(2, '0');
    if (seconds < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
    return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} m`;
  }

  const time = ms => new Date(ms).toISOString().replace('T', ' ').replace(/\.\d+Z$/, ' UTC');
  const percent = (part, whole) => whole > 0 ? `${round(100 * part / whole, 1)} %` : '–';

  // -- Elements

  function el(name, attributes = {}, ...children) {
    const svg = ['svg', 'g', 'rect', 'line', 'title'].includes(name);
    const element = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    for (const child of children.flat(Infinity)) {
      if (child !== null && child !== undefined) element.append(child instanceof Node ? child : printable(child));
    }
    return element;
  }

  const figure = (name, value, shown) => el('span', { 'data-figure': name, 'data-value': value }, shown);
  const key = color => { const box = el('i', { class: 'key' }); box.style.background = `var(--${color})`; return box; };

  function section(id, title, note, ...content) {
    const heading = el('h2', { id: `${id}-title` }, title);
    const body = el('section', { id, 'aria-labelledby': `${id}-title` }, heading, note ? el('p', { class: 'note' }, note) : null, content);
    $('main').append(body);
    $('nav').append(el('a', { href: `#${id}` }, title));
    return body;
  }

  // Columns are [title, 'num' | 'text' | 'keep' | '']; cells are texts or nodes.
  // Shows the first rows, and the others on demand.
  // If rows have columns of text, a narrow window shows that text below the rest of its row.
  function table(columns, rows, shown = 12, look = columns.some(([, kind]) => kind === 'text') ? 'cards' : '') {
    const body = el('tbody');
    const row = cells => el('tr', {}, cells.map((cell, at) => el('td', { class: columns[at][1], 'data-title': columns[at][0] }, cell)));
    body.append(...rows.slice(0, shown).map(row));
    const head = el('thead', {}, el('tr', {}, columns.map(([title, kind]) => el('th', { class: kind === 'num' ? 'num' : '', scope: 'col' }, title))));
    const parts = [el('div', { class: 'wide' }, el('table', { class: look }, head, body))];
    if (rows.length > shown) {
      const button = el('button', { class: 'more', type: 'button' }, `Show all ${count(rows.length)}`);
      button.addEventListener('click', () => { body.append(...rows.slice(shown).map(row)); button.remove(); });
      parts.push(button);
    }
    return parts;
  }

  const more = (number, things) => number > 0 ? el('p', { class: 'soft' }, `${count(number)} more ${things} are not shown.`) : null;

  // -- What the data says

  const stage = Object.fromEntries(data.stages.map(of => [of.stage, of]));
  const none = { records_in: 0, bytes_in: 0, records_out: 0, bytes_out: 0, rejects: 0, times: {}, counters: {} };
  const mapped = stage.map ? stage.map.counts : none;
  const reduced = stage.reduce ? stage.reduce.counts : none;
  const taskName = (of, task) => of === 'reduce' ? `partition ${task}` : of === 'map' ? `shard ${task}` : of;
  const retries = data.stages.reduce((sum, of) => sum + of.retries, 0);
  const rejects = mapped.rejects + reduced.rejects;
  const published = data.run.state.startsWith('complete');
  const lastCounts = data.partitions > 0 ? reduced : mapped;

  function head() {
    const run = data.run;
    const looks = { complete: 'good', failed: 'bad', interrupted: 'warn', unfinished: 'warn', complete_with_failures: 'warn' };
    document.title = `${printable(data.pipeline)} ${printable(run.run_id)}`;
    const sub = [['span', { class: 'mono' }, run.run_id]];
    if (run.started_at_ms) sub.push(['span', {}, `started ${time(run.started_at_ms)}`]);
    if (data.processes.length > 1) sub.push(['span', {}, counted(data.processes.length, 'process', 'processes')]);
    const tile = (title, name, value, shown, small, look = '') =>
      el('div', { class: `tile ${look}` }, el('dt', {}, title), el('dd', {}, figure(name, value, shown), small ? el('small', {}, small) : null));
    const failed = data.failed_for_good;
    const seconds = Math.max(1, stage.map ? stage.map.duration_ms : 0) / 1000;
    const tiles = [
      tile('Duration', 'duration_ms', run.duration_ms ?? 0, duration(run.duration_ms ?? 0), 'at work'),
      tile('Records read', 'map.records_in', mapped.records_in, count(mapped.records_in), `${count(Math.round(mapped.records_in / seconds))} a second`),
      tile('Bytes read', 'map.bytes_in', mapped.bytes_in, bytes(mapped.bytes_in), `${bytes(Math.round(mapped.bytes_in / seconds))} a second`),
      tile('Records written', 'result.records_out', lastCounts.records_out, count(lastCounts.records_out), published ? counted(data.parts, 'part') : 'not published'),
      tile('Shards', 'shards', data.shards, count(data.shards), stage.map ? counted(stage.map.tasks, 'task') : ''),
      tile('Rejects', 'rejects', rejects, count(rejects), rejects > 0 ? percent(rejects, mapped.records_in + rejects) : ''),
      tile('Retries', 'retries', retries, count(retries), ''),
      failed > 0 ? tile('Failed', 'failed', failed, count(failed), failed === 1 ? 'attempt, for good' : 'attempts, for good', 'bad') : null,
    ];
    $('head').append(
      el('div', { class: 'title' }, el('h1', {}, data.pipeline), el('span', { class: `badge ${looks[run.state] ?? ''}`, id: 'state' }, run.state.replaceAll('_', ' '))),
      el('p', { class: 'sub' }, sub.map(part => el(...part))),
      el('dl', { class: 'tiles' }, tiles));
    if (data.error) $('head').append(el('div', { class: 'alert', role: 'alert' }, data.error));
    const foot = [`run store ${data.run_store}`, run.result ? `result ${run.result}` : null, data.host ? `etl-host ${data.host}` : null];
    $('foot').append(foot.filter(Boolean).map(printable).join('  ·  '));
  }

  // -- Failures

  function leftOut() {
    if (data.left_out.length === 0) return;
    const rows = data.left_out.map(of => [
      of.shards === 1 ? `shard ${of.shard}` : `shards ${of.shard} to ${of.shard + of.shards - 1}`, of.kind,
      el('div', {}, el('div', { class: 'clip' }, of.error), of.replay ? el('code', { class: 'command' }, of.replay) : null),
    ]);
    section('left-out', 'Left out', 'The result is complete except for these shards, which failed; run.tolerated_failures allows that.',
      table([['shards', 'keep'], ['kind', 'keep'], ['error', 'text']], rows), more(data.left_out_more, 'failed tasks'));
  }

  function failures() {
    if (data.failures.length === 0) return;
    const rows = data.failures.map(of => [
      `${of.stage === 'map' || of.stage === 'reduce' ? `${of.stage} of ` : ''}${taskName(of.stage, of.task)}`,
      count(of.number),
      el('span', { class: of.then === 'nothing' ? 'level fail' : 'level warn' }, { retry: 'tried again', other: 'another continued', nothing: 'failed' }[of.then]),
      of.kind,
      el('div', {}, el('div', { class: 'clip' }, of.error || '(left out)'), of.replay ? el('code', { class: 'command' }, of.replay) : null),
    ]);
    section('failures', 'Failures', 'Attempts that failed; those that ended their task come first. The command runs the attempt again, as it was.',
      table([['task', 'keep'], ['attempt', 'num'], ['then', 'keep'], ['kind', 'keep'], ['error', 'text']], rows),
      more(data.failures_more, 'failures'));
  }

  // -- The pipeline

  function flow() {
    const node = (look, title, ...lines) => el('div', { class: `node ${look}` }, el('b', {}, title), lines.filter(Boolean).map(line => line instanceof Node ? line : el('span', {}, line)));
    // Allow a line break after each word of a file name.
    const file = name => name ? el('span', {}, name.replace(/\.wasm$/, '').split(/(?<=[_-])/).flatMap(word => [word, el('wbr')])) : null;
    const plain = () => el('div', { class: 'arrow plain' }, el('i'));
    const arrow = (name, records, size) => el('div', { class: 'arrow' },
      el('b', {}, figure(`${name}.records`, records, count(records))), el('span', {}, records === 1 ? 'record' : 'records'), el('i'),
      el('span', {}, figure(`${name}.bytes`, size, bytes(size))));
    const parts = [node('', 'source', data.objects === null ? null : counted(data.objects, 'object'), data.source_bytes === null ? null : bytes(data.source_bytes))];
    const maps = data.steps.filter(step => step.step.startsWith('map'));
    maps.forEach((step, at) => {
      parts.push(at === 0 ? arrow('source-map', mapped.records_in, mapped.bytes_in) : plain());
      const rejected = data.rejected[step.step] ?? 0;
      const tag = rejected > 0 ? el('span', { class: 'rejects' }, counted(rejected, 'reject')) : null;
      parts.push(node('map', step.step, file(step.file), at === 0 && stage.map ? counted(stage.map.tasks, 'task') : null, tag));
    });
    if (data.partitions > 0) {
      parts.push(arrow('map-shuffle', mapped.records_out, mapped.bytes_out), node('', 'shuffle', counted(data.partitions, 'partition'), data.combine ? 'combined' : null));
      parts.push(arrow('shuffle-reduce', reduced.records_in, reduced.bytes_in));
      parts.push(node('reduce', 'reduce', file(data.steps.find(step => step.step === 'reduce')?.file), stage.reduce ? counted(stage.reduce.tasks, 'task') : null));
      parts.push(arrow('reduce-sink', reduced.records_out, reduced.bytes_out));
    } else {
      parts.push(arrow('map-sink', mapped.records_out, mapped.bytes_out));
    }
    parts.push(node('', 'sink', counted(data.parts, 'part'), data.sink_format, published ? null : 'not published'));
    const of = name => stage[name] ? `${count(stage[name].committed)} of ${count(stage[name].tasks)}` : '–';
    const rows = data.stages.map(({ stage: name, duration_ms, retries: again, counts }) => {
      const moves = name === 'map' || name === 'reduce';
      const number = (value, shown) => moves ? shown(value) : '';
      return [name, moves ? of(name) : '', number(counts.records_in, count), number(counts.bytes_in, bytes), number(counts.records_out, count), number(counts.bytes_out, bytes), moves ? count(again) : '', duration(duration_ms)];
    });
    section('flow', 'Data flow', 'Records and bytes that went from step to step. Bytes after a map are as stored: sorted and compressed.', el('div', { class: 'flow' }, parts), el('h3', {}, 'Stages'),
      table([['stage', 'keep'], ['committed', 'num'], ['records in', 'num'], ['bytes in', 'num'], ['records out', 'num'], ['bytes out', 'num'], ['retries', 'num'], ['time', 'num']], rows, 12, 'cards'));
  }

  // -- Where time went

  const kinds = [
    ['wait', 'wait', 'waits for a worker', ['wait_us']], ['read', 'read', 'waits for data', ['read_us']], ['decode', 'decode', 'finds records and parses them', ['decode_us']],
    ['guest', 'plugin', 'runs plugins, copying in and out included', ['copy_in_us', 'guest_us', 'copy_out_us']], ['check', 'check', 'checks what plugins emit', ['check_us']],
    ['shuffle', 'shuffle', 'sorts, spills and merges', ['sort_us', 'spill_us', 'merge_us']], ['write', 'write', 'formats, compresses, uploads', ['write_us']],
    ['commit', 'commit', 'creates the commit', ['commit_us']], ['rest', 'other', 'everything else', ['other_us']],
  ];

  function times() {
    const stages = data.stages.filter(of => of.stage === 'map' || of.stage === 'reduce');
    const sums = stages.map(of => kinds.map(([, , , fields]) => fields.reduce((sum, field) => sum + (of.counts.times[field] ?? 0), 0) / 1000));
    const totals = sums.map(kindTimes => kindTimes.reduce((a, b) => a + b, 0));
    if (totals.every(total => total === 0)) return;
    const largest = Math.max(...totals);
    const rows = stages.map((of, at) => {
      const stack = el('div', { class: 'stack' });
      stack.style.width = `${Math.max(4, 100 * totals[at] / largest)}%`;
      kinds.forEach(([color, name], kind) => {
        if (sums[at][kind] === 0) return;
        const part = el('div', { title: `${name} ${duration(sums[at][kind])}, ${percent(sums[at][kind], totals[at])}` });
        part.style.flexGrow = sums[at][kind];
        part.style.background = `var(--${color})`;
        stack.append(part);
      });
      return el('div', { class: 'stackrow' }, el('b', {}, of.stage), el('div', {}, stack), el('span', { class: 'num' }, duration(totals[at])));
    });
    const cells = kinds.map(([color, name, what], kind) => [
      el('span', {}, key(color), name), el('span', { class: 'soft aside' }, what),
      ...stages.flatMap((of, at) => [duration(sums[at][kind]), percent(sums[at][kind], totals[at])]),
    ]);
    section('times', 'Where time went', 'The total time of committed attempts; on several workers it can be longer than the run.', rows,
      table([['', 'keep'], ['', ''], ...stages.flatMap(of => [[of.stage, 'num'], ['share', 'num']])], cells));
  }

  // -- The timeline

  const colors = { map: 'map', reduce: 'reduce', split: 'other-stage', finalize: 'other-stage' };

  function timeline() {
    const { lanes, blocks, span_ms: span } = data.timeline;
    if (blocks.length === 0) return;
    const canvas = el('canvas', { tabindex: 0, role: 'img', id: 'timeline-canvas', 'aria-label': `Timeline of ${counted(data.attempts, 'attempt')} on ${counted(lanes.length, 'worker')}; plus and minus zoom, arrow keys move` });
    const tip = el('div', { class: 'tip', hidden: '' });
    const row = Math.max(3, Math.min(22, Math.floor(360 / lanes.length)));
    const axis = 22, gap = row > 6 ? 2 : row > 3 ? 1 : 0, left = 0;
    const height = axis + row * lanes.length + 4;
    canvas.style.height = `${height}px`;
    let view = { from: 0, to: span };
    const width = () => canvas.clientWidth - left;
    const x = ms => left + (ms - view.from) / (view.to - view.from) * width();
    const ms = at => view.from + (at - left) / width() * (view.to - view.from);

    function ticks() {
      const wanted = Math.max(2, Math.floor(width() / 110));
      const rough = (view.to - view.from) / wanted;
      const units = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 144e5, 432e5, 864e5];
      const step = units.find(unit => unit >= rough) ?? Math.ceil(rough / 864e5) * 864e5;
      const found = [];
      for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) found.push(at);
      return found;
    }

    function draw() {
      const scale = window.devicePixelRatio || 1;
      canvas.width = Math.round(canvas.clientWidth * scale);
      canvas.height = Math.round(height * scale);
      const style = getComputedStyle(document.documentElement);
      const color = name => style.getPropertyValue(`--${name}`).trim();
      const ink = canvas.getContext('2d');
      ink.scale(scale, scale);
      ink.fillStyle = color('bg');
      ink.fillRect(0, axis, canvas.clientWidth, height - axis);
      ink.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      for (const at of ticks()) {
        const place = Math.round(x(at)) + 0.5;
        ink.strokeStyle = color('line');
        ink.beginPath(); ink.moveTo(place, axis - 4); ink.lineTo(place, height); ink.stroke();
        const label = at === 0 ? '0' : duration(at);
        const room = ink.measureText(label).width;
        ink.fillStyle = color('soft');
        if (place + room / 2 < canvas.clientWidth) ink.fillText(label, Math.max(0, place - room / 2), axis - 8);
      }
      ink.fillStyle = color('faint');
      lanes.forEach((process, lane) => {
        if (lane > 0 && lanes[lane - 1] !== process) ink.fillRect(0, axis + lane * row - (gap ? 1 : 0), canvas.clientWidth, 1);
      });
      for (const [lane, start, length, of, end] of blocks) {
        const from = x(start), to = x(start + length);
        if (to < 0 || from > canvas.clientWidth) continue;
        ink.fillStyle = color(end === 'failed' ? 'fail' : end === 'committed' ? colors[of] : 'open');
        const top = axis + lane * row + (gap ? 1 : 0);
        ink.fillRect(Math.max(from, -1), top, Math.max(1, Math.min(to, canvas.clientWidth + 1) - Math.max(from, -1) - (to - from > 4 ? 1 : 0)), Math.max(2, row - gap));
      }
    }

    function show(from, to) {
      const length = Math.min(span, Math.max(1, to - from));
      const begin = Math.max(0, Math.min(from, span - length));
      view = { from: begin, to: begin + length };
      draw();
    }
    function zoom(factor, at = (view.from + view.to) / 2) { show(at - (at - view.from) * factor, at + (view.to - at) * factor); }
    function move(part) { const by = (view.to - view.from) * part; show(view.from + by, view.to + by); }
    const whole = () => show(0, span);

    function point(event) {
      const box = canvas.getBoundingClientRect();
      const [across, down] = [event.clientX - box.left, event.clientY - box.top];
      const lane = Math.floor((down - axis) / row);
      const slack = 2 * (view.to - view.from) / width();
      const hit = blocks.find(([of, start, length]) => of === lane && ms(across) >= start - slack && ms(across) <= start + length + slack);
      tip.hidden = !hit;
      if (!hit) return;
      const [, start, length, of, end, task, number, attempts] = hit;
      const how = end === 'open' ? 'end unknown' : end === 'overtaken' ? 'stopped, another was faster' : end;
      const what = attempts > 1 ? `${counted(attempts, 'attempt')} at ${of}, from ${taskName(of, task)}${end === 'failed' ? ', some failed' : ''}` : `${of} of ${taskName(of, task)}, attempt ${number}, ${how}`;
      tip.textContent = printable(`${what}\n${duration(length)}, from ${duration(start)}\nprocess ${data.processes[lanes[lane]]?.name ?? ''}`);
      const room = canvas.clientWidth - tip.offsetWidth;
      tip.style.left = `${Math.max(0, Math.min(room, across + 12))}px`;
      tip.style.top = `${down + 16}px`;
    }

    const pointers = new Map();
    canvas.addEventListener('pointerdown', event => { pointers.set(event.pointerId, event.clientX); canvas.setPointerCapture(event.pointerId); canvas.classList.add('drag'); });
    canvas.addEventListener('pointermove', event => {
      const before = pointers.get(event.pointerId);
      if (before === undefined) return point(event);
      const old = [...pointers.values()];
      pointers.set(event.pointerId, event.clientX);
      const now = [...pointers.values()];
      if (now.length === 2) {
        const apart = pair => Math.max(8, Math.abs(pair[0] - pair[1]));
        zoom(apart(old) / apart(now), ms((now[0] + now[1]) / 2 - canvas.getBoundingClientRect().left));
      } else if (now.length === 1) {
        move((before - event.clientX) / width());
      }
    });
    const release = event => { pointers.delete(event.pointerId); canvas.classList.remove('drag'); };
    canvas.addEventListener('pointerup', event => { release(event); point(event); });
    canvas.addEventListener('pointercancel', release);
    canvas.addEventListener('pointerleave', () => { tip.hidden = true; });
    canvas.addEventListener('dblclick', event => zoom(0.4, ms(event.offsetX)));
    canvas.addEventListener('wheel', event => {
      if (event.ctrlKey || event.metaKey) { event.preventDefault(); zoom(Math.exp(event.deltaY / 200), ms(event.offsetX)); }
      else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) { event.preventDefault(); move(event.deltaX / width()); }
    }, { passive: false });
    canvas.addEventListener('keydown', event => {
      const keys = { '+': () => zoom(0.6), '=': () => zoom(0.6), '-': () => zoom(1 / 0.6), 0: whole, Home: whole, ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2) };
      if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
    });
    const button = (label, title, act) => { const made = el('button', { type: 'button', title, 'aria-label': title }, label); made.addEventListener('click', act); return made; };
    const tools = el('div', { class: 'tools' }, button('+', 'Zoom in', () => zoom(0.6)), button('−', 'Zoom out', () => zoom(1 / 0.6)), button('←', 'Earlier', () => move(-0.3)), button('→', 'Later', () => move(0.3)), button('Whole run', 'Show the whole run', whole),
      el('span', { class: 'soft aside' }, 'drag to move, Ctrl and wheel or a double click to zoom'));
    const used = [...new Set(blocks.map(block => block[3]))];
    const entry = (color, name) => el('li', {}, key(color), name);
    const legend = el('ul', { class: 'legend' }, used.filter(name => name === 'map' || name === 'reduce').map(name => entry(colors[name], name)),
      used.some(name => name === 'split' || name === 'finalize') ? entry('other-stage', 'split') : null,
      blocks.some(block => block[4] === 'failed') ? entry('fail', 'failed') : null, blocks.some(block => block[4] === 'open') ? entry('open', 'end unknown') : null,
      blocks.some(block => block[4] === 'overtaken') ? entry('open', 'stopped, another was faster') : null);
    const merged = blocks.some(block => block[7] > 1) ? ' Short attempts that follow each other are drawn as one.' : '';
    section('timeline', 'Timeline', `${counted(data.attempts, 'attempt')}; attempts that were under way at the same time are in different rows.${merged}`, tools, legend, el('div', { class: 'chart' }, canvas, tip),
      data.lanes_left_out > 0 ? more(data.lanes_left_out, 'rows') : null);
    new ResizeObserver(draw).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  }

  // -- Tasks: slowest, durations, skew

  // Items are [title, value]; draws them as bars of the same width.
  function bars(items, color, from, to) {
    const largest = Math.max(...items.map(([, value]) => value), 1);
    const svg = el('svg', { viewBox: `0 0 ${items.length} 100`, preserveAspectRatio: 'none', role: 'img' });
    items.forEach(([title, value], at) => {
      const tall = value === 0 ? 0 : Math.max(1.5, 98 * value / largest);
      const bar = el('rect', { class: 'bar', x: at + (items.length > 80 ? 0.03 : 0.1), y: 100 - tall, width: items.length > 80 ? 0.94 : 0.8, height: tall });
      bar.style.fill = `var(--${color})`;
      svg.append(el('g', {}, el('rect', { class: 'hit', x: at, y: 0, width: 1, height: 100 }), bar, el('title', {}, title)));
    });
    const ends = el('div', { class: 'axis' }, el('span', {}, from), items.length > 1 ? el('span', {}, to) : null);
    const chart = el('div', { class: 'drawn' }, svg, ends);
    // Limit the width, so that the bars are not very broad where there are few.
    chart.style.maxWidth = `${Math.max(220, items.length * 56)}px`;
    return chart;
  }
  const say = pairs => el('p', { class: 'say' }, pairs.map(([name, value]) => el('span', {}, `${name} `, el('b', {}, value))));

  function tasks() {
    if (data.slowest.length === 0) return;
    const columns = data.durations.map(of => {
      const items = of.bins.map(([upto, number]) => [`${counted(number, 'task')} of up to ${duration(upto)}`, number]);
      return el('div', { class: 'bars' }, el('h3', {}, `How long ${of.stage} tasks took`), say([['median', duration(of.median_ms)], ['95 % within', duration(of.p95_ms)], ['longest', duration(of.max_ms)]]),
        bars(items, colors[of.stage], `up to ${duration(of.bins[0][0])}`, `up to ${duration(of.bins.at(-1)[0])}`));
    });
    const skew = data.skew.map(of => {
      const unit = of.unit === 'bytes' ? bytes : count;
      const name = of.stage === 'reduce' ? 'partition' : 'shard';
      const items = of.buckets.map(([first, last, largest]) => [`${name} ${first === last ? first : `${first} to ${last}: at most`} ${unit(largest)}`, largest]);
      return el('div', { class: 'bars' }, el('h3', {}, of.stage === 'reduce' ? 'How much partitions had to read' : 'How much map tasks had to read'),
        say([['mean', unit(of.mean)], ['largest', unit(of.max)], ['that is', of.mean > 0 ? `${round(of.max / of.mean, 1)} times the mean` : '–']]),
        bars(items, colors[of.stage], `${name} ${of.buckets[0][0]}`, `${name} ${of.buckets.at(-1)[1]}`));
    });
    const rows = data.slowest.map(of => [`${of.stage} of ${taskName(of.stage, of.task)}`, count(of.number), duration(of.duration_ms), duration(of.guest_ms), percent(of.guest_ms, of.duration_ms), count(of.records), bytes(of.bytes)]);
    section('tasks', 'Tasks', data.shards > (stage.map?.tasks ?? 0) ? 'There are so many shards that a task takes several neighbouring ones; it is named after the first.' : null,
      el('div', { class: 'pair' }, columns, skew), el('h3', {}, 'Slowest'),
      table([['task', 'keep'], ['attempt', 'num'], ['time', 'num'], ['in plugins', 'num'], ['share', 'num'], ['records', 'num'], ['bytes', 'num']], rows, 10, 'cards'));
  }

  // -- Rejects, counters, cost, messages, configuration

  function rejected() {
    if (rejects === 0 && data.reject_samples.length === 0) return;
    const by = Object.entries(data.rejected);
    const rows = data.reject_samples.map(of => [
      of.step, of.object ? `${of.object}${of.offset === undefined ? '' : ` at byte ${of.offset}`}` : '–', of.reason,
      el('code', {}, of.record ?? (of.record_hex ? `hex ${of.record_hex}` : ''), of.truncated ? '…' : ''),
    ]);
    section('rejects', 'Rejects', `Records that were set aside; all of them are in ${data.run_store}/rejects/.`,
      by.length > 0 ? table([['by', 'keep'], ['records', 'num']], by.map(([step, number]) => [step, figure(`rejected.${step}`, number, count(number))]), 12, 'fit') : null,
      rows.length > 0 ? [el('h3', {}, 'Samples, a few of each reason'), table([['by', 'keep'], ['from', 'text'], ['reason', 'text'], ['record', 'text']], rows, 8)] : null);
  }

  function counters() {
    const rows = data.stages.flatMap(of => Object.entries(of.counts.counters ?? {}).map(([name, total]) => [of.stage, name, figure(`counter.${name}`, total, count(total))]));
    if (rows.length === 0) return;
    section('counters', 'Counters', 'Counters of the steps.', table([['stage', 'keep'], ['counter', 'text'], ['total', 'num']], rows, 20, 'fit'));
  }

  function cost() {
    const cost = data.cost;
    const tile = (title, shown, small) => el('div', { class: 'tile' }, el('dt', {}, title), el('dd', {}, shown, small ? el('small', {}, small) : null));
    const tiles = [
      tile('In plugins', `${round(cost.guest_ms / 1000, 2)} s`, 'guest seconds'), tile('Attempts', `${round(cost.attempts_ms / 1000, 2)} s`, 'failed ones included'),
      cost.processor_ms === null ? null : tile('Processor', `${round(cost.processor_ms / 1000, 2)} s`, 'of all threads'),
      cost.gb_seconds === null ? null : tile('Memory', `${round(cost.gb_seconds, 2)} GB s`, 'peak memory by time at work'),
      cost.peak_memory_bytes === null ? null : tile('Peak memory', bytes(cost.peak_memory_bytes), 'of a process'),
      tile('Requests', count(cost.requests), 'to all stores'),
    ];
    const rows = Object.entries(cost.stores).map(([name, of]) => [name, count(of.reads), count(of.writes), count(of.lists), count(of.copies), count(of.deletes), bytes(of.read_bytes), bytes(of.written_bytes)]);
    section('cost', 'Cost', data.processes.length > cost.processes ? 'Processes that were killed could not report what they used; they are not included.' : null, el('dl', { class: 'tiles' }, tiles),
      rows.length > 0 ? [el('h3', {}, 'Requests to stores'), table([['store', 'keep'], ['reads', 'num'], ['writes', 'num'], ['lists', 'num'], ['copies', 'num'], ['deletes', 'num'], ['bytes read', 'num'], ['bytes written', 'num']], rows, 12, 'cards')] : null);
  }

  function messages() {
    if (data.messages.length === 0) return;
    const rows = data.messages.map(of => [
      duration(Math.max(0, of.at_ms - data.timeline.origin_ms)), el('span', { class: `level ${of.level}` }, of.level), of.from ? `${of.from[0]}, ${of.from[0] === 'reduce' ? 'partition' : 'shard'} ${of.from[1]}` : 'host', of.text,
    ]);
    section('messages', 'Messages', 'Warnings of the host and messages of plugins.', table([['after', 'num'], ['', 'keep'], ['from', 'keep'], ['message', 'text']], rows), more(data.messages_more, 'messages'));
  }

  function configuration() {
    const steps = data.steps.map(of => [of.step, of.plugin, el('code', { class: 'digest' }, of.digest)]);
    const endings = { finished: 'finished the run', interrupted: 'was interrupted', failed: 'failed' };
    const processes = data.processes.map(of => [of.name, time(of.started_at_ms), duration(of.last_at_ms - of.started_at_ms), of.ending ? endings[of.ending.how] : 'at work, or killed']);
    section('configuration', 'Configuration', null,
      steps.length > 0 ? [el('h3', {}, 'Plugins'), table([['step', 'keep'], ['plugin', 'text'], ['SHA-256', '']], steps)] : null,
      processes.length > 0 ? [el('h3', {}, 'Processes'), table([['process', 'keep mono'], ['started', 'keep'], ['at work', 'num'], ['end', 'keep']], processes, 12, 'fit cards')] : null,
      data.document ? [el('h3', {}, 'pipeline.toml, as it was planned'), el('pre', { tabindex: 0 }, el('code', {}, data.document))] : null);
  }

  for (const part of [head, leftOut, failures, flow, timeline, times, tasks, rejected, counters, cost, messages, configuration]) part();
  document.documentElement.dataset.drawn = 'true';
})();
