/** A thread that exceeds its heap limit ends alone: the process and its other threads keep serving. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { eventually, route } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'
import { start } from './gateway-process.ts'
import { traffic } from './traffic.ts'

const ANSWER = { name: 'all', respond: { statusCode: 200, contentType: 'text/plain', body: 'here' } }

describe('a heap at its limit', () => {
  for (const thread of ['control', 0] as const)
    it(`ends ${thread === 'control' ? 'the control thread' : 'a worker'} and nothing else`, async (t) => {
      const settings = join(tmpdir(), `headgate-memory-${process.pid}-${thread}.json`)
      await writeFile(settings, JSON.stringify({ limits: { memory: '400Mi' } }))
      const manifests = { 'a.yaml': route('all', ['a.example'], [ANSWER]) }
      const gateway = await start(t, manifests, { workers: 2, flags: ['--settings', settings] })
      const clients = traffic(gateway.port, 'a.example')
      t.after(() => clients.stop())
      await clients.more(20)
      gateway.fault({ thread, how: 'leak' })
      const line = await gateway.logged(thread === 'control' ? /^control failed/ : /^worker 0 failed/)
      assert.match(line.message, /reaching memory limit.*; restarting it now/)
      await clients.more(50)
      if (thread === 'control') assert.deepEqual(clients.failures, [], 'workers serve on')
      else assert.ok(clients.failures.length <= 8, `${clients.failures.length} failed`)
      // Changes are still applied.
      await gateway.write('b.yaml', route('next', ['next.example'], [ANSWER]))
      await eventually(async () => {
        const answer = await request(gateway.port, { host: 'next.example' })
        assert.equal(answer.status, 200)
      })
      // The control thread serves metrics again.
      await eventually(async () => {
        const { text } = await gateway.signals('/metrics')
        assert.match(text, new RegExp(`headgate_control_restarts_total ${thread === 'control' ? 1 : 0}\n`))
        assert.match(
          text,
          new RegExp(`headgate_worker_restarts_total\\{worker="0"\\} ${thread === 'control' ? 0 : 1}\n`),
        )
      })
      assert.equal(gateway.child.exitCode, null)
    })
})
