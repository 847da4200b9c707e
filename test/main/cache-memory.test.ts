/** Memory for the cache that is not enough for anything is said at the start, and is no obstacle to all else. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { route } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'
import { start } from './gateway-process.ts'

const ANSWER = { name: 'all', respond: { statusCode: 200, contentType: 'text/plain', body: 'here' } }

describe('cache.memory', () => {
  it('without its unit is too little, which is said', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-cache-memory-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const settings = join(folder, 'settings.json')
    await writeFile(settings, JSON.stringify({ cache: { memory: 1 } }))
    const manifests = { 'a.yaml': route('all', ['a.example'], [ANSWER]) }
    const gateway = await start(t, manifests, { workers: 2, flags: ['--settings', settings] })
    const { level, message } = await gateway.logged(/^cache\.memory \(/)
    assert.equal(level, 'warn')
    assert.match(message, /^cache\.memory \(1 B\) is too little for 2 workers: no response is stored/)
    assert.equal((await request(gateway.port, { host: 'a.example' })).status, 200)
  })
})
