/**
 * Removes a cluster when the program that started this one exits, for any cause: its end, an error, Ctrl-C, or a kill.
 * It detects this by a pipe; the word `keep` in it means that the cluster stays.
 */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { type ClusterLayout, layoutOf } from './cluster-layout.ts'
import { down } from './down.ts'
import { step } from './steps.ts'

export interface Guard {
  /** Ends the guard; resolves when the cluster is gone, or at once if it is to stay. */
  end(what: 'take away' | 'take away, keep the logs' | 'keep'): Promise<void>
}

export function guard(layout: ClusterLayout): Guard {
  // Detached: Ctrl-C in a terminal goes to every process of the group.
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), layout.state], {
    detached: true,
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`the cluster is not gone: ${layout.state}`)),
    )
  })
  return {
    end(what) {
      child.stdin.end(what)
      return ended
    },
  }
}

if (import.meta.main) {
  const word = await text(process.stdin)
  if (word !== 'keep') {
    const layout = layoutOf(process.argv[2]!)
    await step('take the cluster away', 30, () => down(layout, { keepLogs: word === 'take away, keep the logs' }))
  }
}
