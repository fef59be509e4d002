"use strict";
// The live tail. Whatever an event holds becomes text, never markup.
(() => {
  const body = document.getElementById("live");
  if (!body) return;
  const state = document.getElementById("live-state"), pause = document.getElementById("live-pause");
  const most = 200;
  const known = new Set([...body.rows].map((row) => row.dataset.id));
  let paused = false, waiting = [];

  // Marks of direction could make a name look like another one.
  const plain = (text) => text.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  const cell = (row, label, text, kind) => {
    const td = row.insertCell();
    td.dataset.label = label;
    if (kind) td.className = kind;
    td.textContent = plain(text || "");
    return td;
  };
  const add = (e) => {
    const s = e.sinkhole || {}, landing = e.event.dataset === "sinkhole.landing";
    const row = body.insertRow(0);
    row.dataset.id = e.event.id;
    row.className = "new";
    cell(row, "Time", e["@timestamp"].slice(0, 19).replace("T", " "));
    const c = e.client || {};
    cell(row, "Client", c.mac || (c.port ? (c.ip.includes(":") ? "[" + c.ip + "]" : c.ip) + ":" + c.port : c.ip), "id");
    cell(row, "Did", landing ? (s.evidence === "sent" ? "sent data" : "connected") : "asked");
    const q = (e.dns || {}).question || {}, d = e.destination || {};
    cell(row, "What", landing ? d.ip + ":" + d.port : (q.name || "") + " " + (q.type || ""), "wrap");
    const name = ((e.threat || {}).indicator || {}).name || (landing ? q.name : "");
    const at = cell(row, "Indicator", "", "wrap");
    if (name) {
      const a = document.createElement("a");
      a.href = "/indicators/" + encodeURIComponent(name);
      a.className = "id";
      a.textContent = plain(name);
      at.append(a);
    }
    cell(row, "Families", (s.families || []).join(", ") || "none named");
    cell(row, "Lists", [...new Set((s.lists || []).map((l) => l.name))].join(", "));
    cell(row, "Answer", e.event.action + (s.count > 1 ? " ×" + s.count : ""));
    while (body.rows.length > most) { known.delete(body.rows[most].dataset.id); body.deleteRow(most); }
  };
  const say = (text) => { state.textContent = text; };

  const source = new EventSource(body.dataset.stream);
  source.onopen = () => { say("events appear as they happen"); pause.hidden = false; };
  source.onerror = () => say("the connection broke off; trying again");
  source.onmessage = (m) => {
    const e = JSON.parse(m.data);
    if (known.has(e.event.id)) return;
    known.add(e.event.id);
    if (paused) {
      waiting.push(e);
      if (waiting.length > most) waiting.shift();
      say(waiting.length + " wait");
    } else add(e);
  };
  pause.onclick = () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    if (paused) { say("paused"); return; }
    waiting.forEach(add);
    waiting = [];
    say("events appear as they happen");
  };
})();
