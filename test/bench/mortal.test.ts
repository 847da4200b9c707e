import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { mortal } from '../../bench/lib/mortal.ts'
import { find } from '../../bench/lib/programs.ts'
import { eventually } from '../feature/harness.ts'

/** Starts a process that lives for a minute, prints its id, and waits, or fails as `end` says. */
const parent = (end: string): string => `
  import { spawn } from 'node:child_process'
  import { mortal } from ${JSON.stringify(new URL('../../bench/lib/mortal.ts', import.meta.url).href)}
  console.log(spawn(...mortal('sleep', ['60']), { stdio: 'ignore' }).pid)
  ${end}`

/** Whether it runs; what has ended and was not waited for yet does not. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const without = process.platform === 'linux' && find('setpriv') !== undefined ? false : 'setpriv is not installed'

describe('a child process of a bench', { skip: without }, () => {
  for (const [how, end, signal] of [
    ['is killed', 'setTimeout(() => {}, 60_000)', 'SIGKILL'],
    ['is ended', 'setTimeout(() => {}, 60_000)', 'SIGTERM'],
    ['throws', "process.stdin.once('data', () => { throw new Error('of the test') })", undefined],
  ] as const)
    it(`ends with its parent, when that ${how}`, async (t) => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', parent(end)], {
        stdio: ['pipe', 'pipe', 'ignore'],
      })
      t.after(() => child.kill('SIGKILL'))
      const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
      const pid = Number(line)
      assert.ok(runs(pid))
      if (signal === undefined) child.stdin.write('now')
      else child.kill(signal)
      await once(child, 'exit')
      await eventually(() => assert.ok(!runs(pid), `${pid} still runs`))
    })

  it('is the command itself, with its arguments, under the process id that was given', async () => {
    const child = spawn(...mortal('sh', ['-c', 'echo $$ "$@"', 'sh', '--pdeathsig', 'a b']), {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
    assert.equal(line, `${child.pid} --pdeathsig a b`)
  })
})
