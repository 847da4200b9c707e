import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FakeApi } from '../source/kubernetes/fake-api.ts'
import type { Scope } from './harness.ts'

/** A kubeconfig that leads to the API server, in a folder of its own. */
export async function kubeconfigFile(scope: Scope, api: FakeApi, token = 'x'): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-kubeconfig-'))
  scope.after(() => rm(folder, { recursive: true }))
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'fake', cluster: { server: api.url } }],
    users: [{ name: 'me', user: { token } }],
    contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'me' } }],
    'current-context': 'fake',
  }
  const file = join(folder, 'config')
  await writeFile(file, JSON.stringify(config))
  return file
}
