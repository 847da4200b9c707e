/**
 * Ends one thread of a process from within, as a bug in it would: through the debugger that Node.js opens on SIGUSR1.
 * Run by the tests in the network of the pod: `node end-thread.ts PID WORDS`, where the words are part of the address
 * of the thread's file.
 */
import { setTimeout as sleep } from 'node:timers/promises'

const DEBUGGER = 'http://127.0.0.1:9229/json/list'

const [pid, words = ''] = process.argv.slice(2)
process.kill(Number(pid), 'SIGUSR1')
await end(words)

async function end(part: string): Promise<void> {
  const socket = new WebSocket(await address())
  const opened = Promise.withResolvers<void>()
  socket.onopen = () => opened.resolve()
  await opened.promise
  let last = 0
  const send = (method: string, params: object) => socket.send(JSON.stringify({ id: ++last, method, params }))
  const found = Promise.withResolvers<string>()
  socket.onmessage = ({ data }) => {
    const { method, params } = JSON.parse(String(data)) as {
      method?: string
      params?: { sessionId: string; workerInfo: { url: string } }
    }
    if (method === 'NodeWorker.attachedToWorker' && params?.workerInfo.url.includes(part))
      found.resolve(params.sessionId)
  }
  send('NodeWorker.enable', { waitForDebuggerOnStart: false })
  const sessionId = await Promise.race([
    found.promise,
    sleep(5_000).then(() => Promise.reject(new Error(`no thread of ${part} within 5 s`))),
  ])
  const expression = 'setTimeout(() => { throw new Error("thrown by the test") })'
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } })
  send('NodeWorker.sendMessageToWorker', { sessionId, message })
  await sleep(200)
  socket.close()
}

async function address(): Promise<string> {
  for (let attempt = 0; ; attempt++)
    try {
      const targets = (await (await fetch(DEBUGGER)).json()) as { webSocketDebuggerUrl: string }[]
      return targets[0]!.webSocketDebuggerUrl
    } catch (error) {
      if (attempt === 50) throw error
      await sleep(100)
    }
}
