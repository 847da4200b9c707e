/** Ends one thread of a process from within, as a bug in it would: through its debugger. */
import { setTimeout as sleep } from 'node:timers/promises'

const WITHIN = 5_000
const EXPRESSION = 'setTimeout(() => { throw new Error("thrown by the test") })'

interface Message {
  readonly method?: string
  readonly params?: { readonly sessionId: string; readonly workerInfo: { readonly url: string } }
}

/**
 * @param address of the debugger, `ws:…`
 * @param part of the address of the thread's file
 */
export async function endThread(address: string, part: string): Promise<void> {
  const socket = new WebSocket(address)
  const opened = Promise.withResolvers<void>()
  socket.onopen = () => opened.resolve()
  socket.onerror = () => opened.reject(new Error(`no debugger at ${address}`))
  await opened.promise
  let last = 0
  const send = (method: string, params: object): void => socket.send(JSON.stringify({ id: ++last, method, params }))
  const found = Promise.withResolvers<string>()
  socket.onmessage = ({ data }) => {
    const { method, params } = JSON.parse(String(data)) as Message
    if (method === 'NodeWorker.attachedToWorker' && params?.workerInfo.url.includes(part))
      found.resolve(params.sessionId)
  }
  send('NodeWorker.enable', { waitForDebuggerOnStart: false })
  const late = sleep(WITHIN).then(() => Promise.reject(new Error(`no thread of ${part} within ${WITHIN} ms`)))
  const sessionId = await Promise.race([found.promise, late])
  late.catch(() => {})
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression: EXPRESSION } })
  send('NodeWorker.sendMessageToWorker', { sessionId, message })
  await sleep(200)
  socket.close()
}
