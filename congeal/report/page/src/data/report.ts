/** The report as the views ask for it: the index, and what is loaded of clusters. */
import { beside, held, load } from "./scripts.ts";
import { type Member, addMaps, addPictures, membersOf } from "./members.ts";
import { CURE, mapsFromZarr, overHttp } from "./remote.ts";
import type { AnnotationsScript, ClusterScript, Index, MapsScript, MembersScript, OwnScript } from "./types.ts";
import { messageOf } from "../ui/page.ts";

export interface Cluster {
  readonly script: ClusterScript;
  /** Path of its script; what it names lies beside. */
  readonly path: string;
  readonly number: number;
}

export interface Page {
  readonly members: Member[];
  /** Settled when the members have their maps: with why these are not the published ones, if they are not. */
  readonly maps: Promise<string | null>;
}

export class Report {
  private readonly pages = new Map<string, Promise<Page>>();

  constructor(readonly index: Index) {}

  static held(): Report | null {
    const index = held<Index>("index");
    return index ? new Report(index) : null;
  }

  numberOf(id: string): number {
    return this.index.clusters.id.indexOf(id);
  }

  async cluster(id: string): Promise<Cluster> {
    const number = this.numberOf(id);
    if (number < 0) throw new Error(`this report has no cluster ${id}: it may be of another version; look for it in the overview`);
    const path = this.index.clusters.script[number];
    if (!path) throw new Error(this.index.clusters.error[number] ?? "this cluster has no atlas, so there is nothing to show");
    return { script: await load<ClusterScript>(`cluster/${id}`, path), path, number };
  }

  page(cluster: Cluster, page: number): Promise<Page> {
    const key = `${cluster.script.id}/${page}`;
    let found = this.pages.get(key);
    if (!found) {
      found = this.loadPage(cluster, page);
      found.catch(() => this.pages.delete(key));
      this.pages.set(key, found);
      // Pictures and maps of more than two pages would only fill the memory.
      if (this.pages.size > 2) this.pages.delete(this.pages.keys().next().value as string);
    }
    return found;
  }

  async annotations(cluster: Cluster): Promise<AnnotationsScript | null> {
    const path = this.index.clusters.annotations?.[cluster.number];
    return path ? load<AnnotationsScript>(`annotations/${cluster.script.id}`, path) : null;
  }

  /** Columns of the collection's owner and what they say of an image, where they say anything. */
  async own(cluster: Cluster, image: string): Promise<[string, string][]> {
    const path = this.index.clusters.own?.[cluster.number];
    if (!path) return [];
    const { columns, images } = await load<OwnScript>(`own/${cluster.script.id}`, path);
    const values = images[image] ?? [];
    return columns.flatMap((name, k): [string, string][] => (values[k] == null ? [] : [[name, values[k]]]));
  }

  private async loadPage(cluster: Cluster, page: number): Promise<Page> {
    const { script, path } = cluster;
    const facts = script.pages[page];
    if (!facts) throw new Error(`the cluster has ${script.pages.length} pages, not ${page + 1}`);
    // Both are on their way at once where the maps come in a script, too.
    if (!this.readsZarr(cluster, page)) void this.mapsScript(cluster, page).catch(() => {});
    const members = await load<MembersScript>(`members/${script.id}/${page}`, beside(path, facts.script));
    const list = membersOf(members, page);
    await addPictures(list, members, script, facts.columns);
    const maps = this.loadMaps(cluster, page, list);
    maps.catch(() => this.pages.delete(`${script.id}/${page}`));
    return { members: list, maps };
  }

  private readsZarr(cluster: Cluster, page: number): boolean {
    const { script } = cluster;
    return overHttp() && Boolean(this.index.base && script.zarr) && held(`maps/${script.id}/${page}`) === undefined;
  }

  private mapsScript(cluster: Cluster, page: number): Promise<MapsScript> {
    const { script, path } = cluster;
    return load<MapsScript>(`maps/${script.id}/${page}`, beside(path, script.pages[page].maps));
  }

  private async loadMaps(cluster: Cluster, page: number, members: Member[]): Promise<string | null> {
    let note: string | null = null;
    if (this.readsZarr(cluster, page)) {
      try {
        const zarr = `${this.index.base}${cluster.script.zarr}`;
        await mapsFromZarr(new URL(zarr, document.baseURI).href, members);
        return null;
      } catch (error) {
        note = `The published arrays could not be read (${messageOf(error)}): the maps shown are the report's own copy. ${CURE}`;
      }
    }
    addMaps(members, await this.mapsScript(cluster, page));
    return note;
  }
}
