/** Somebody who may write the state volume, and has a Route of a namespace at hand. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { eventually, startGateway, suiteScope } from '../feature/harness.ts'
import { FakeApi } from '../source/kubernetes/fake-api.ts'

const route = (namespace: string, name: string, spec: object) => ({
  apiVersion: 'headgate.dev/v1alpha1',
  kind: 'Route',
  metadata: { name, namespace },
  spec: { hostnames: ['shop.test'], rules: [{ name: 'all', respond: { statusCode: 200, body: namespace } }], ...spec },
})

describe('a state volume that somebody else may write', () => {
  const scope = suiteScope()

  it('gives nobody a hostname by a forged last good version where the volume is sealed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-volume-'))
    scope.after(() => rm(folder, { recursive: true }))
    const api = await new FakeApi().listen()
    scope.after(() => api.kill())
    const config = {
      clusters: [{ name: 'fake', cluster: { server: api.url } }],
      users: [{ name: 'me', user: { token: 'x' } }],
      contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'me' } }],
      'current-context': 'fake',
    }
    const [kubeconfig = '', keys = '', state = ''] = ['config', 'keys', 'state'].map((name) => join(folder, name))
    await writeFile(kubeconfig, JSON.stringify(config))
    await writeFile(keys, randomBytes(32).toString('base64'))
    const forged = route('evil', 'app', {})
    const object = { ...forged, metadata: { ...forged.metadata, creationTimestamp: '1999-01-01T00:00:00Z' } }
    const record = { version: 1, kind: 'Route', key: 'evil/app', object }
    await mkdir(join(state, 'last-good'), { recursive: true })
    const file = `${createHash('sha256').update('Route evil/app').digest('hex')}.json`
    await writeFile(join(state, 'last-good', file), JSON.stringify(record))
    api.put(route('shop', 'app', {}))
    // Broken, so that the last good version is asked for.
    api.put(route('evil', 'app', { unknown: true }))
    const gateway = await startGateway(
      scope,
      {},
      { source: ['--kubeconfig', kubeconfig], settings: { stateDirectory: state, stateKeyFile: keys } },
    )
    await eventually(() => assert.match(gateway.processLog.join('\n'), /ignoring .*last-good/))
    assert.equal((await gateway.request({ host: 'shop.test' })).text, 'shop')
  })
})
