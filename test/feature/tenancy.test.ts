/** Grants in a folder, with real traffic: by labels of Namespace objects, by settings that change while it runs. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type Started, start } from '../main/gateway-process.ts'
import { echoBackend } from './backends.ts'
import { backend, eventually, route } from './harness.ts'
import { request } from './raw-client.ts'

const answer = (body: string) => ({ respond: { statusCode: 200, body } })
const namespaceOf = (name: string, labels: object) =>
  `${JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } })}\n---\n`

describe('tenancy in a folder', () => {
  const asked = async (gateway: Started, host: string, path = '/'): Promise<string> => {
    const { status, text } = await request(gateway.port, { host, path })
    return status === 200 ? text : String(status)
  }

  it('lets delegates in by the labels of Namespace objects, as they are now', async (t) => {
    const selector = { matchLabels: { tier: 'trusted' } }
    const delegates = [{ namespaces: { from: 'Selector', selector }, pathPrefixes: ['/team'] }]
    const below = { name: 't', matches: [{ path: { value: '/team' } }], ...answer('team') }
    const gateway = await start(t, {
      'owner.yaml': route('owner/a', ['a.example'], [{ name: 'o', ...answer('owner') }], { delegates }),
      'team.yaml': route('team/a', ['a.example'], [below]),
    })
    const becomes = (text: string) =>
      eventually(async () => assert.equal(await asked(gateway, 'a.example', '/team'), text))
    await becomes('owner')
    await gateway.write('namespaces.yaml', namespaceOf('team', { tier: 'trusted' }) + namespaceOf('other', {}))
    await becomes('team')
    await gateway.write('namespaces.yaml', namespaceOf('team', { tier: 'other' }) + namespaceOf('other', {}))
    await becomes('owner')
  })

  it('follows the settings from Shared to Strict and back, for hostnames and for targets', async (t) => {
    const echo = await echoBackend(t)
    const folder = await mkdtemp(join(tmpdir(), 'headgate-tenancy-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const file = join(folder, 'settings.json')
    const namespaces = { from: 'Selector', selector: { matchLabels: { tenant: 'yes' } } }
    const grants = (names: string[], hosts: string[]) => ({
      tenancy: 'Strict',
      hostnames: [{ namespaces, names }],
      upstreams: { externalTargets: [{ namespaces, hosts }] },
    })
    const use = (settings: object) => writeFile(file, JSON.stringify(settings))
    await use({})
    const manifests = {
      'team.yaml':
        backend('team/echo', [echo.port]) +
        route('team/a', ['a.example'], [{ name: 'a', backendRefs: [{ name: 'echo' }] }]),
      'namespaces.yaml': namespaceOf('team', { tenant: 'yes' }),
    }
    const gateway = await start(t, manifests, { flags: ['--settings', file] })
    const becomes = (status: number) =>
      eventually(async () => assert.equal((await request(gateway.port, { host: 'a.example' })).status, status))
    await becomes(200)
    await use(grants(['b.example'], [`127.0.0.1:${echo.port}`]))
    await becomes(404)
    await gateway.logged(/Route team\/a: hostname a\.example needs a grant .*it has b\.example.*HostnameNotAllowed/)
    await use(grants(['*.example'], [`127.0.0.2:${echo.port}`]))
    await becomes(503)
    await gateway.logged(
      /Backend team\/echo: 127\.0\.0\.1:\d+ may not be used.*upstreams\.externalTargets.*AddressNotAllowed/,
    )
    await use(grants(['*.example'], [`127.0.0.1:${echo.port}`]))
    await becomes(200)
    await gateway.write('namespaces.yaml', namespaceOf('team', { tenant: 'no' }))
    await becomes(404)
    await use({})
    await becomes(200)
  })
})
