/** Fault injection: only on a cluster of our own, never on one given by KUBECONFIG. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { layoutOf } from '../cluster/cluster-layout.ts'
import type { Component } from '../cluster/components.ts'
import { restartProcess, stop } from '../cluster/processes.ts'
import { programsFolder } from '../cluster/programs.ts'
import { apiServerReady } from '../cluster/up.ts'
import { execute } from './execute.ts'

const state = process.env.HEADGATE_E2E_STATE

/** For `skip` of a test: false, or why it cannot run here. */
export const notOurs: string | false = state === undefined && 'needs a cluster of our own, to break it'

const layout = layoutOf(state ?? '.')

/** What elsewhere ends when it cannot renew its lease at the API server, and is started again by the node. */
const LEADERS: readonly Component[] = ['scheduler', 'controllers']

/** Kills the API server, and starts it again after so long. Resolves when it is ready again. */
export async function apiServerAway(
  milliseconds: number,
  meanwhile: () => Promise<void> = async () => {},
): Promise<void> {
  await stop(layout, 'apiserver', { signal: 'SIGKILL' })
  for (const leader of LEADERS) await stop(layout, leader, { signal: 'SIGKILL' })
  try {
    const waiting = sleep(milliseconds)
    await meanwhile()
    await waiting
  } finally {
    await restartProcess(layout, 'apiserver')
    await apiServerReady(layout, programsFolder())
    for (const leader of LEADERS) await restartProcess(layout, leader)
    // They would look for the server again after half a minute or more: send requests to pods that are gone until then,
    // and start no new ones.
    await restart('proxy')
    await restart('kubelet')
  }
}

export async function restart(component: Component): Promise<void> {
  await stop(layout, component)
  await restartProcess(layout, component)
}

/** Compacts all history: a watch that continues from an older version gets 410. */
export async function compactEtcd(): Promise<number> {
  const url = 'http://127.0.0.1:2379/v3/kv'
  const post = async (path: string, body: object) => {
    const response = await fetch(`${url}/${path}`, { method: 'POST', body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`etcd: ${response.status} ${await response.text()}`)
    return (await response.json()) as { header: { revision: string } }
  }
  // Any key: the answer carries the revision of the whole store.
  const { header } = await post('range', { key: Buffer.from('a').toString('base64') })
  await post('compaction', { revision: header.revision, physical: true })
  return Number(header.revision)
}

/** Ends a thread of the process in a container, as a mistake in it would; the address of its file holds these words. */
export async function endThread(id: string, words: string): Promise<void> {
  const socket = join(layout.state, 'containerd.sock')
  const tasks = await execute('ctr', ['-a', socket, '-n', 'k8s.io', 'tasks', 'ls'])
  const pid = new RegExp(`^${id}\\s+(\\d+)`, 'm').exec(tasks)?.[1]
  if (pid === undefined) throw new Error(`no container ${id}`)
  const script = fileURLToPath(new URL('end-thread.ts', import.meta.url))
  await execute('nsenter', ['-t', pid, '-n', '--', process.execPath, script, pid, words])
}

/** Kills everything in a container, past the API server; the kubelet starts it again. */
export async function endContainer(id: string): Promise<void> {
  await signalContainer(id, 'SIGKILL')
}

/** To every process of a container. */
export async function signalContainer(id: string, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  const socket = join(layout.state, 'containerd.sock')
  await execute('ctr', ['-a', socket, '-n', 'k8s.io', 'tasks', 'kill', '-s', signal, '-a', id])
}
