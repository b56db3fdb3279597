/** Stands for codecs that no array of a destination uses, so that they are not bundled. */
export default {
  fromConfig(): never {
    throw new Error("this report was bundled without that codec");
  },
};
