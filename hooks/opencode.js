// git-ledger: tells the recorder what opencode does. Written by `ledger init`, removed by `ledger deinit`.
//
// It runs inside opencode, so it must not throw (an error after a call would make the model believe that the call failed), wait long,
// or hold much. Each event is one short process that gets JSON on its standard input; events go in order, one at a time. A call is
// made only after its request was handed over, or WAIT_MS have passed. What is still waiting when opencode exits is handed over then.
import { spawn, spawnSync } from "node:child_process"

const COMMAND = @COMMAND@
const WAIT_MS = 3000 // for one process; after that it is left behind
const EXIT_MS = 3000 // for all that waits when opencode exits
const MAX_WAITING = 2000 // events
const MAX_BYTES = 4 << 20 // of one event
const MAX_TEXT = 64 << 10 // characters of the assistant's last text
const MAX_KNOWN = 1000 // sessions and permission requests that are remembered

const TELLING = new Set([
  "session.created", "session.idle", "session.error", "session.compacted", "permission.asked", "permission.replied", "todo.updated",
])

// A Map that forgets the oldest.
const remember = (map, key, value) => {
  if (key === undefined || key === null) return
  map.delete(key)
  map.set(key, value)
  if (map.size > MAX_KNOWN) map.delete(map.keys().next().value)
}

const encode = (event) => {
  let text = JSON.stringify(event)
  if (Buffer.byteLength(text) <= MAX_BYTES) return text
  // The bulk of an event is what a tool printed, or was given to write.
  const cut = (name, value) => (typeof value === "string" && value.length > MAX_TEXT ? value.slice(0, MAX_TEXT) : value)
  text = JSON.stringify({ ...event, cut: Buffer.byteLength(text) }, cut)
  return Buffer.byteLength(text) <= MAX_BYTES ? text : ""
}

// Where this plugin is installed twice, for the project and for the user, each event comes twice: with one id, or as one object.
const seen = (globalThis[Symbol.for("git-ledger " + COMMAND.join("\0"))] ??= { ids: new Map(), objects: new WeakSet() })
const isAgain = (object) => {
  const id = object && object.id
  const again = id ? seen.ids.has(id) : seen.objects.has(object)
  id ? remember(seen.ids, id, true) : seen.objects.add(object)
  return again
}

const waiting = []
let running = false
let current
let lost = 0

const start = (item) =>
  new Promise((resolve) => {
    let child
    const timer = setTimeout(resolve, WAIT_MS)
    const done = () => {
      clearTimeout(timer)
      resolve()
    }
    try {
      child = spawn(COMMAND[0], COMMAND.slice(1), { cwd: item.cwd, stdio: ["pipe", "ignore", "ignore"] })
      item.child = child
      child.on("error", done)
      child.on("exit", done)
      child.stdin.on("error", () => {})
      child.stdin.end(item.text, () => (item.given = true))
    } catch {
      done()
    }
  })

const run = async () => {
  if (running) return
  running = true
  while (waiting.length) {
    current = waiting.shift()
    await start(current)
    current.done()
    current = undefined
  }
  running = false
}

const flush = () => {
  const end = Date.now() + EXIT_MS
  if (current && !current.given) {
    // It waits for the end of its input, which it would take for the whole of it: once more, from the start.
    try {
      current.child.kill("SIGKILL")
    } catch {}
    waiting.unshift(current)
  }
  while (waiting.length) {
    const item = waiting.shift()
    const left = end - Date.now()
    if (left <= 0) return
    try {
      spawnSync(COMMAND[0], COMMAND.slice(1), { cwd: item.cwd, input: item.text, timeout: left, stdio: ["pipe", "ignore", "ignore"] })
    } catch {}
  }
}
try {
  process.on("exit", flush)
} catch {}

// Hand an event over. The promise is kept when it was, or when there is no sense in waiting any longer.
const send = (cwd, event) => {
  if (waiting.length >= MAX_WAITING) {
    lost += 1
    return Promise.resolve()
  }
  if (lost) {
    event = { ...event, lost }
    lost = 0
  }
  const text = encode(event)
  if (!text) {
    lost += 1
    return Promise.resolve()
  }
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, WAIT_MS)
    waiting.push({ cwd, text, done: () => (clearTimeout(timer), resolve()) })
    run().catch(() => {})
  })
}

export const GitLedger = async (context) => {
  const cwd = (context && (context.directory || context.worktree)) || process.cwd()
  const parents = new Map() // session -> its root session
  const turns = new Map() // session -> the id of the user's last message
  const texts = new Map() // session -> the assistant's last text
  const requests = new Map() // permission request -> call
  let servers, rules

  const entrypoint = () => {
    const words = process.argv.slice(2).filter((word) => !word.startsWith("-"))
    return ["run", "serve", "web", "acp", "attach", "github"].includes(words[0]) ? words[0] : "tui"
  }
  const about = (session, more) => {
    const root = parents.get(session)
    return { session: root, turn: turns.get(session), servers, ...more }
  }
  const tell = (name, session, body, more) => send(cwd, { hook_event_name: name, cwd, ledger: about(session, more), ...body })
  // Whatever goes wrong in here is ours alone.
  const quietly = (work) => async (...given) => {
    try {
      await work(...given)
    } catch {}
  }

  const onEvent = async (event) => {
    const told = event.properties || {}
    const session = told.sessionID
    const part = told.part
    if (event.type === "message.part.updated" && part) {
      if (part.type === "text" && part.time && part.time.end) remember(texts, part.sessionID, String(part.text || "").slice(0, MAX_TEXT))
      if (part.type !== "tool" || !part.state || part.state.status !== "error") return
      return tell("event.message.part.updated", session || part.sessionID, { event: { type: event.type, properties: { sessionID: part.sessionID, part } } })
    }
    if (!TELLING.has(event.type)) return
    const more = {}
    if (event.type === "session.created") {
      const info = told.info || {}
      if (info.parentID) remember(parents, info.id, parents.get(info.parentID) || info.parentID)
      more.entrypoint = entrypoint()
      more.rules = rules
    }
    if (event.type === "permission.asked" && told.tool) remember(requests, told.id, told.tool.callID)
    if (event.type === "permission.replied") {
      more.call = requests.get(told.requestID || told.permissionID)
      more.entrypoint = entrypoint()
    }
    if (event.type === "session.idle") more.message = texts.get(session)
    return tell("event." + event.type, session || (told.info && told.info.id), { event: { type: event.type, properties: told } }, more)
  }

  return {
    config: quietly(async (config) => {
      servers = Object.keys((config && config.mcp) || {}).slice(0, 100)
      rules = config && config.permission
    }),
    event: quietly(async ({ event }) => isAgain(event) || onEvent(event)),
    "chat.message": quietly(async (input, output) => {
      if (isAgain(output)) return
      remember(turns, input.sessionID, output.message && output.message.id)
      await tell("chat.message", input.sessionID, { input: { sessionID: input.sessionID }, output: { message: output.message, parts: output.parts } })
    }),
    "tool.execute.before": quietly(async (input, output) => {
      if (!isAgain(output)) await tell("tool.execute.before", input.sessionID, { input, output: { args: output.args } })
    }),
    "tool.execute.after": quietly(async (input, output) => {
      if (!isAgain(output)) await tell("tool.execute.after", input.sessionID, { input, output })
    }),
    "shell.env": quietly(async (input, output) => {
      // What runs in the call can say which call it is: git's hooks read this.
      if (!input.sessionID || isAgain(output)) return
      output.env.LEDGER_SESSION_ID = parents.get(input.sessionID) || input.sessionID
      if (input.callID) output.env.LEDGER_CALL_ID = input.callID
    }),
  }
}
