/**
 * What the objects that are served refer to: whom a change concerns, and which payloads are delivered to whom.
 */
import { isDeepStrictEqual } from 'node:util'
import { isSensitive, KINDS, type Kind, type KindTable, referencesOf } from '../../api/kinds.ts'
import type { KubeObject } from '../../api/object.ts'
import { settingsReferences } from '../../api/references.ts'
import type { SettingsObject } from '../../api/settings.ts'
import { keyOfNode, kindOfNode, nodeId, ReferenceGraph } from '../../compile/reference-graph.ts'
import type { PayloadSummary } from '../../compile/resource-set.ts'
import { KEY_SET } from '../../policy/auth/key-set.ts'
import { type FrozenMap, FrozenMapBuilder } from '../../snapshot/frozen-map.ts'
import type { ToWorker } from '../../thread/messages.ts'
import { ContentBudget } from './content-budget.ts'
import { ContentFeed } from './content-feed.ts'
import { type Impact, ImpactSum } from './impact.ts'
import { KeySetDemand, type KeySetVersion, type MayFetch } from './key-set-demand.ts'
import type { ProviderFault } from './secrets.ts'

/** The user of the references in the settings. */
const SETTINGS = 'Settings'

export interface ServedReferencesOptions {
  readonly send?: (message: ToWorker) => void
  /** Bytes that manifests may take. */
  readonly configurationBytes?: number
  /** Milliseconds since the epoch. */
  readonly wall?: () => number
  /** Default the table of kinds. */
  readonly table?: KindTable
  /** A key set is used by these namespaces; none: not any more. */
  readonly wantKeySet?: (url: string, namespaces: readonly string[]) => void
  readonly providerFault?: ProviderFault
  /** Default: all may. */
  readonly mayFetch?: MayFetch
}

export class ServedReferences {
  /** Shared with SourceInterest, which adds the references of newest versions. */
  readonly graph: ReferenceGraph
  readonly #contents: ContentFeed
  readonly #keySets: KeySetDemand
  readonly #table: KindTable
  /** Objects with a payload, which are stored only here. */
  readonly #payloads = new Map<string, KubeObject>()
  readonly #summaries = new FrozenMapBuilder<PayloadSummary>()

  constructor(options: ServedReferencesOptions = {}) {
    const { send = () => {}, configurationBytes = Number.POSITIVE_INFINITY, wall = Date.now, table = KINDS } = options
    this.#table = table
    this.graph = new ReferenceGraph(table)
    const budget = new ContentBudget(configurationBytes)
    const { wantKeySet = () => {}, mayFetch = () => true, providerFault } = options
    const feed = { graph: this.graph, budget, send, wall, table }
    this.#contents = new ContentFeed(providerFault === undefined ? feed : { ...feed, providerFault })
    this.#keySets = new KeySetDemand(this.graph, mayFetch, wantKeySet)
  }

  /** Summaries of objects with a payload, by kind and key. */
  payloads(): FrozenMap<PayloadSummary> {
    return this.#summaries.freeze()
  }

  /** What workers are to have, and until when. */
  get contents(): Pick<ContentFeed, 'adopt' | 'compiling' | 'oidcClient' | 'published' | 'served'> {
    return this.#contents
  }

  useSettings(settings: SettingsObject): void {
    for (const wanted of this.graph.set(SETTINGS, [...settingsReferences(settings)]).requirementsChanged)
      this.#lookAt(wanted)
  }

  /**
   * Another version of an object is in force, or none.
   *
   * @returns what that asks for where the object belongs to no other
   */
  put(kind: Kind, key: string, object: KubeObject | undefined): Impact {
    const node = nodeId(kind, key)
    const references = object === undefined ? [] : referencesOf(kind, object.metadata.namespace, object, this.#table)
    for (const wanted of this.graph.set(node, references).requirementsChanged) this.#lookAt(wanted)
    if (!isSensitive(kind, this.#table)) return this.impactOf(kind, key)
    if (object === undefined) this.#payloads.delete(node)
    else this.#payloads.set(node, object)
    return this.#lookAt(node)
  }

  /** The impact on the users of an object. */
  impactOf(kind: Kind, key: string): Impact {
    const read = this.#table[kind]?.read
    if (read === 'referenced') return this.graph.has(kind, key) ? 'rebuild' : 'ignore'
    return read === 'always' || read === 'collection' ? 'rebuild' : 'ignore'
  }

  /** The impact of a Service's endpoints on its Backends. */
  endpointsImpact(service: string): Impact {
    const endpoints = [...this.graph.users('Service', service)].map(keyOfNode)
    return endpoints.length === 0 ? 'ignore' : { endpoints }
  }

  /** Retries some of the contents for which there was no room, and looks at those whose time has come or ended. */
  retryContents(): Impact {
    const impact = new ImpactSum()
    for (const node of this.#contents.pendingObjects()) impact.add(this.#lookAt(node))
    for (const node of this.#contents.turnedSecrets()) impact.add(this.#lookAt(node))
    return impact.value
  }

  /** The keys of a provider are others, or what is wrong with them. */
  useKeySet(url: string, version: KeySetVersion): Impact {
    this.#keySets.learn(url, version)
    return this.#lookAt(nodeId(KEY_SET, `/${url}`))
  }

  /** Who may have key sets fetched may be others: looks at all of them. */
  recheckKeySets(): Impact {
    const impact = new ImpactSum()
    for (const url of [...this.#keySets.urls()]) impact.add(this.#lookAt(nodeId(KEY_SET, `/${url}`)))
    return impact.value
  }

  #lookAtKeySet(node: string, url: string): Impact {
    this.#keySets.update(url)
    const mayUse = (namespace: string): boolean => this.#keySets.mayUse(namespace, url)
    return this.#summarize(node, this.#contents.updateKeySet(url, this.#keySets.version(url), mayUse))
  }

  /** Contents act without a build; users are rebuilt only when the summary changes, which their statuses report. */
  #lookAt(node: string): Impact {
    const key = keyOfNode(node)
    const kind = kindOfNode(node)
    if (kind === KEY_SET) return this.#lookAtKeySet(node, key.slice(1))
    if (!isSensitive(kind, this.#table)) return 'ignore'
    return this.#summarize(node, this.#contents.update(kind, key, this.#payloads.get(node)))
  }

  #summarize(node: string, face: PayloadSummary | undefined): Impact {
    if (isDeepStrictEqual(face, this.#summaries.get(node))) return 'ignore'
    if (face === undefined) this.#summaries.delete(node)
    else this.#summaries.set(node, face)
    // Of what was referred to a moment ago the user itself asks for a build.
    return this.graph.has(kindOfNode(node), keyOfNode(node)) ? 'rebuild' : 'ignore'
  }
}
