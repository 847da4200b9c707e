/**
 * Ends one thread of a process: run by the tests in the network of the pod, `node end-thread.ts PID WORDS`, where the
 * words are part of the address of the thread's file. Node.js opens its debugger on SIGUSR1.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { endThread } from '../../bench/lib/end-thread.ts'

const DEBUGGER = 'http://127.0.0.1:9229/json/list'

const [pid, words = ''] = process.argv.slice(2)
process.kill(Number(pid), 'SIGUSR1')
await endThread(await address(), words)

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
